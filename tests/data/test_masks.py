"""Masks as targets: sizes, numbers, copies, messages."""

import numpy as np
import pytest
import torch
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.data.load import load_data
from aseptic.data.masks import check_numbers, fit_mask, stack_masks
from aseptic.data.memory import memory_set


@pytest.fixture
def pairs(tmp_path):
    """A folder of three images with masks of 0, 1 and 2, and one image without."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (12, 10), dtype=np.uint8)).save(tmp_path / "images" / f"{i}.png")
        if i < 3:
            Image.fromarray(rng.integers(0, 3, (12, 10), dtype=np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    return tmp_path


def test_batches_have_the_masks_of_their_images(pairs):
    data = load_data(pairs, classes=["background", "organ", "lesion"]).verify()
    assert len(data) == 3
    assert [one.reason for one in data.unreadable] == ["has no mask"]
    order = [2, 0]
    (batch,) = data.batches(2, order=order)
    for row, i in enumerate(order):
        stored = np.asarray(Image.open(pairs / "masks" / f"{i}.png"))
        assert batch.targets[row].numpy().tolist() == stored.tolist()
    assert torch.equal(data.targets[order], batch.targets)
    small = data.fit((6, 5))
    assert small.targets.shape == (3, 6, 5)
    assert set(small.targets.unique().tolist()) <= {0, 1, 2}


def test_a_mask_of_another_size_is_kept_out_also_where_images_are_resized(pairs):
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(pairs / "masks" / "1.png")
    found = load_data(pairs, classes=["background", "organ", "lesion"]).fit((8, 8)).verify()
    assert len(found) == 2
    assert "the mask must have the image's size [12, 10], got [6, 5]" in {one.reason for one in found.unreadable}


def test_masks_are_copied_as_they_are(pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    data = load_data(pairs, classes=["background", "organ", "lesion"])
    path = data.write_mask(1, out)
    assert path.relative_to(out).as_posix() == "masks/1.png"
    assert path.read_bytes() == (pairs / "masks" / "1.png").read_bytes()
    with pytest.raises(InputError, match="has no mask"):
        data.write_mask(3, out)


@pytest.mark.parametrize("space", [(6, 8), (4, 6, 8)])
def test_masks_in_memory_are_written_exactly(tmp_path, space):
    masks = np.random.default_rng(1).integers(0, 5, (2, *space))
    data = memory_set("held", np.zeros((2, 1, *space), np.float32), masks=masks, task="segmentation")
    path = data.write_mask(1, tmp_path)
    stored = np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path))
    assert stored.tolist() == masks[1].tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: check_numbers(torch.tensor([[0, 4]]), "scan", ("a", "b")),
            r"scan: .* 0\.\.1 \(a, b\), got 4",
        ),
        (lambda: check_numbers(torch.tensor([[-1, 1]]), "scan", ("a", "b")), r"\(a, b\), got -1"),
        (lambda: fit_mask(torch.zeros((4, 4), dtype=torch.long), (2, 2, 2)), "size must have 2 space axes"),
        (
            lambda: stack_masks([torch.zeros((2, 2), dtype=torch.long), torch.zeros((3, 2), dtype=torch.long)], None),
            r"masks must have one shape, got \[2, 2\] and \[3, 2\]",
        ),
    ],
)
def test_what_is_said_of_masks_that_do_not_fit(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_without_classes_any_number_will_do():
    mask = torch.tensor([[0, 9]])
    assert check_numbers(mask, "scan", ()) is mask
