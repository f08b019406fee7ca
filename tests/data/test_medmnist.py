"""Archives in the layout of MedMNIST."""

import numpy as np
import pytest

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.load import load_data


@pytest.fixture
def archive(tmp_path):
    def write(shape=(28, 28), labels=1, dtype=np.uint8, **changes):
        rng = numpy_stream(0)
        arrays = {}
        for name, n in (("train", 7), ("val", 2), ("test", 3)):
            arrays[f"{name}_images"] = rng.integers(0, 255, (n, *shape), endpoint=True).astype(dtype)
            arrays[f"{name}_labels"] = rng.integers(0, 2, (n, labels), dtype=np.uint8)
        np.savez_compressed(tmp_path / "tinymnist.npz", **(arrays | changes))
        return tmp_path / "tinymnist.npz", arrays

    return write


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((28, 28), (1, 28, 28)),
        ((28, 28, 3), (3, 28, 28)),
        ((28, 28, 28), (1, 28, 28, 28)),
        ((9, 8, 7, 1), (1, 9, 8, 7)),
    ],
)
def test_axes(archive, shape, expected):
    path, arrays = archive(shape)
    data = load_data(path, split="test")
    assert tuple(data.images.shape[1:]) == expected
    stored = arrays["test_images"][1].reshape(shape)
    stored = np.moveaxis(stored, -1, 0) if shape[-1] in {1, 3} else stored[None]
    assert np.array_equal((data.read(1).pixels * 255).round().numpy(), stored)
    assert data.targets.tolist() == arrays["test_labels"][:, 0].tolist()
    assert data.ids[0] == "tinymnist/test/00000"


def test_all_splits_and_names(archive):
    path, _ = archive()
    data = load_data(path.parent, classes=["normal", "pneumonia"])
    assert (len(data), data.classes, len(data.split("val"))) == (12, ("normal", "pneumonia"), 2)
    assert "Patients are not known: every image is treated as a patient of its own." in data.notes


def test_several_columns_are_findings(archive):
    path, arrays = archive(labels=4)
    data = load_data(path, split="train")
    assert (data.task, data.classes) == ("multilabel", ("0", "1", "2", "3"))
    assert np.array_equal(data.targets, arrays["train_labels"])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"dtype": np.float32}, r"train_images must be uint8 with 3 to 5 axes, got float32 \[7, 28, 28\]"),
        ({"val_labels": np.zeros((5, 1), np.uint8)}, r"val_images and val_labels must be as many, got 2 and 5"),
        ({"val_labels": np.array([["a"], ["b"]])}, r"labels must be numbers with the same columns in every split"),
        ({"val_labels": np.zeros((2, 3), np.uint8)}, r"same columns in every split, got \[1, 3\] columns"),
        ({"val_labels": np.array([[None], [1]])}, r"must be a MedMNIST .npz without pickled objects"),
    ],
)
def test_messages(archive, changes, match):
    path, _ = archive(**changes)
    with pytest.raises(InputError, match=match):
        load_data(path)


def test_wrong_files(archive, tmp_path):
    path, _ = archive()
    with pytest.raises(InputError, match=r"classes must be 2 names, got normal"):
        load_data(path, classes=["normal"])
    with pytest.raises(InputError, match=r"task must be multiclass for tinymnist, got 'multilabel'"):
        load_data(path, task="multilabel")
    with pytest.raises(InputError, match=r"split must be one of test, train, val; got 'all'"):
        load_data(path, split="all")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"tinymnist.npz must be a MedMNIST .npz"):
        load_data(path)
    np.savez(tmp_path / "tinymnist.npz", x=np.zeros(3))
    with pytest.raises(InputError, match=r"must hold train_images, train_labels and so on, and holds none"):
        load_data(tmp_path)
