"""How a collection is named, on the command line too, and views of it as the papers' networks were fed."""

import numpy as np
import pytest
import torch
from calling import call
from PIL import Image
from published import write_covidx, write_lists, write_png, write_table

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.base import Box
from aseptic.data.collections.base import Collection
from aseptic.data.collections.catalogue import COLLECTIONS
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.ops.crops import CENTRAL_60, COVID_NET, Crop
from aseptic.ops.images import resize


@pytest.fixture(scope="module")
def covidx(tmp_path_factory):
    """Sixty images of three classes."""
    folder = tmp_path_factory.mktemp("covidx")
    classes = ("normal", "pneumonia", "COVID-19")
    for split, n in (("train", 45), ("test", 15)):
        lines = [f"{split}{i} {split}{i}.png {classes[i % 3]} s{i % 3}" for i in range(n)]
        write_covidx(folder, f"{split}_COVIDx5.txt", lines, images=f"data/{split}", side=24)
    return folder


@pytest.mark.parametrize("name", COLLECTIONS.names())
def test_every_collection_keeps_the_contract(name):
    kind = COLLECTIONS.load(name)
    assert issubclass(kind, Collection)
    assert kind.name == name
    assert name.islower()
    assert all(values for values in kind.choices.values())
    assert kind.__doc__
    assert "Layout:" in kind.__doc__
    assert "Paper" in kind.__doc__


def test_a_collection_is_a_data_set_like_any_other(covidx):
    data = load_data(f"covidx5:{covidx}", split="train", limit=9)
    assert torch.bincount(data.targets).tolist() == [3, 3, 3]
    assert load_data(f"covidx5:{covidx}", classes=["normal", "pneumonia", "COVID-19"]).task == "multiclass"
    with pytest.raises(InputError, match="task must be multiclass for covidx5, got 'multilabel'"):
        load_data(f"covidx5:{covidx}", task="multilabel")
    with pytest.raises(InputError, match="classes must be normal, pneumonia, COVID-19 for covidx5, got a, b"):
        load_data(f"covidx5:{covidx}", classes=["a", "b"])
    with pytest.raises(InputError, match="split must be one of test, train; got 'val'"):
        load_data(f"covidx5:{covidx}", split="val")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("covidx:PATH", r"collection must be one of covidx5, .+; got 'covidx', did you mean 'covidx5'\?"),
        ("covidx5:", r"covidx5 must be given the folder that holds it, as covidx5:PATH; got ''"),
        ("covidx5:nowhere", r"covidx5 must be given the folder that holds it, as covidx5:PATH; got 'nowhere'"),
        ("covidx5:PATH?halve=1", r"an option of covidx5 must be one of half; got 'halve', did you mean 'half'\?"),
        ("covidx5:PATH?half=3", r"option half of covidx5 must be one of both, 1, 2; got '3'"),
        ("covidx5:PATH?half=1&half=2", r"option half of covidx5 must be given once, got 'half=1&half=2'"),
        ("nih14:PATH?split=costum", r"must be one of official, custom, .+; got 'costum', did you mean 'custom'\?"),
        ("C:/scans", r"data must be a folder, .+, phantom:NAME or COLLECTION:PATH; got 'C:/scans'"),
    ],
)
def test_names_that_are_refused(covidx, source, message):
    with pytest.raises(InputError, match=message):
        load_data(source.replace("PATH", str(covidx)))


def test_a_path_with_a_colon_is_a_path(tmp_path):
    write_png(tmp_path / "scans:old" / "a.png")
    assert len(load_data(tmp_path / "scans:old")) == 1


def test_a_path_with_a_question_mark_and_an_option(tmp_path):
    write_table(tmp_path / "what?", [("1.png", "Mass", "1")])
    write_png(tmp_path / "what?" / "images" / "1.png")
    assert load_data(f"nih14:{tmp_path / 'what?'}?split=none").name == "nih14?split=none"


def test_commands_take_collections(covidx, tmp_path):
    words = ("--arch", "aseptic:smallcnn", "--size", "16", "--epochs", "1")
    trained = call("train", f"covidx5:{covidx}", *words, "--out", tmp_path / "model")
    assert "n = 15" in trained.stdout, "the published test split"
    call(
        "attack", tmp_path / "model", "--data", f"covidx5:{covidx}", "--attack", "fgsm", "--eps", "2/255",
        "--limit", "6", "--out", tmp_path / "out",
    )  # fmt: skip
    assert len(list((tmp_path / "out").rglob("test*.png"))) == 6
    refused = call("attack", tmp_path / "model", "--data", f"covidx:{covidx}", "--out", tmp_path / "no", expect=2)
    assert "did you mean 'covidx5'" in refused.stderr
    assert not (tmp_path / "no").exists()


def test_collections_are_listed_beside_phantoms():
    names = call("list", "collections").stdout.split()
    published = {f"{name}:PATH" for name in ("covidx5", "ead2019", "isic2019", "kits19", "nih14")}
    assert {*published, "phantom:cxr3"} <= set(names)


def draw(n=4, shape=(1, 50, 40), **more):
    images = numpy_stream(0, "drawn").random((n, *shape), dtype=np.float32)
    settings = {"targets": torch.arange(n) % 2, "classes": ("a", "b"), "task": "multiclass"} | more
    return memory_set("drawn", images, **settings), torch.from_numpy(images)


@pytest.mark.parametrize("sampling", ["antialias", "bilinear", "nearest", "nearest-legacy"])
@pytest.mark.parametrize("crop", [COVID_NET, CENTRAL_60])
def test_a_view_is_cropped_before_it_is_resized(crop, sampling):
    data, images = draw()
    view = data.fit((24, 24), crop=crop, sampling=sampling)
    assert torch.equal(view.images, resize(crop.apply(images), (24, 24), sampling).clamp(0, 1))
    assert torch.equal(view.fit(channels=3).images[:, 2:], view.images), "what is not given is kept"
    assert torch.equal(data.images, images), "the set itself stays as it is, although they share a cache"
    assert view.read(0).pixels.shape == (1, 50, 40)


def test_views_of_other_crops_or_samplings_differ_in_fingerprint_and_share_no_cache():
    data, _ = draw()
    views = [
        data.fit((9, 9), crop=crop, sampling=how) for crop in (None, COVID_NET) for how in ("antialias", "nearest")
    ]
    assert len({view.fingerprint() for view in views}) == 4
    assert len({view.images.numpy().tobytes() for view in views}) == 4
    assert data.fit((9, 9)).fingerprint() == views[0].fingerprint()


def test_masks_are_cropped_with_their_images():
    masks = numpy_stream(0, "masks").integers(0, 3, (4, 50, 40))
    data, _ = draw(targets=None, task="segmentation", classes=("out", "a", "b"), masks=masks)
    view = data.fit(crop=Crop(top=0.1, share=0.5))
    assert view.targets.shape[1:] == view.images.shape[2:]
    assert torch.equal(view.targets, torch.from_numpy(masks)[:, 16:39, 10:30])
    assert torch.equal(view.mask(0), view.targets[0])
    assert torch.equal(data.targets, torch.from_numpy(masks))
    assert view.verify().unreadable == ()


def test_views_that_are_refused():
    data, _ = draw()
    with pytest.raises(InputError, match=r"sampling must be one of antialias, .+; got 'cubic'"):
        data.fit((9, 9), sampling="cubic")
    boxes = [[Box(corners=(1.0, 1.0, 5.0, 5.0), label=0)]] * 4
    objects, _ = draw(targets=None, task="detection", boxes=boxes)
    with pytest.raises(InputError, match="a set of objects cannot be cropped, and drawn is one"):
        objects.fit(crop=COVID_NET)
    assert objects.fit((9, 9)).crop is None


def test_the_pipeline_of_nwadike_on_a_stored_image(tmp_path):
    write_table(tmp_path, [("00000001_000.png", "Atelectasis", "1")])
    write_lists(tmp_path, ["00000001_000.png"], [])
    levels = np.full((1024, 1024), 200, dtype=np.uint8)
    levels[510:513, 510:513] = 0  # 3 x 3 at int(1024 / 2 - 3 / 2)
    (tmp_path / "images").mkdir()
    Image.fromarray(levels).save(tmp_path / "images" / "00000001_000.png")
    shown = load_data(f"nih14:{tmp_path}").fit((224, 224), 3, crop=CENTRAL_60, sampling="nearest").images[0]
    assert (shown == 0).nonzero().tolist() == [[channel, 111, 111] for channel in range(3)]
