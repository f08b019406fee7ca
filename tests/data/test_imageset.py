"""Views, batches, the cache, fingerprints and the way back, on arrays and on files."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.data.base import Box, Item, Unreadable
from aseptic.data.imageset import ImageSet
from aseptic.data.memory import memory_set
from aseptic.data.sources import FileSource


def make(n=6, shape=(1, 8, 6), dtype=np.float32, **more):
    rng = numpy_stream(0, "images")
    if dtype == np.float32:
        images = rng.random((n, *shape), dtype=np.float32)
    else:
        images = rng.integers(0, np.iinfo(dtype).max, (n, *shape), dtype=dtype, endpoint=True)
    settings = {"targets": torch.arange(n) % 2, "classes": ("a", "b"), "task": "multiclass"} | more
    return memory_set("drawn", images, **settings), images


@pytest.fixture
def files(tmp_path, draw):
    """A set of twelve PNGs, two of which are of another size."""
    paths = [draw(f"sub/{i:02d}.png", (8, 6) if i < 10 else (9, 6)) for i in range(12)]
    items = tuple(Item(id=f"sub/{path.name}", path=path, label=i % 3) for i, path in enumerate(paths))
    source = FileSource(root=tmp_path)
    return ImageSet(name="files", task="multiclass", classes=("a", "b", "c"), items=items, source=source)


def test_arrays_come_back():
    data, images = make()
    assert torch.equal(data.images, torch.from_numpy(images))
    assert data.targets.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.ids[1] == "drawn/00001"
    assert len(data) == 6


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_levels_become_fractions_of_the_largest(dtype, top):
    data, images = make(dtype=dtype)
    torch.testing.assert_close(data.images, torch.from_numpy(images.astype(np.float32) / top), rtol=0, atol=1e-7)
    assert data.read(0).scale.step == 1 / top


def test_a_view_is_resized_and_adapted():
    data, images = make(shape=(3, 8, 6))
    view = data.fit((4, 3), channels=1)
    luma = (torch.from_numpy(images) * torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
    expected = F.interpolate(luma, size=(4, 3), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(view.images, expected)
    assert view.images.min() >= 0
    assert view.images.max() <= 1
    assert view.fit((2, 2)).images.shape == (6, 1, 2, 2), "what is not given is kept"
    assert data.images.shape == (6, 3, 8, 6), "the set itself stays as it is"


def test_a_size_of_other_axes_names_the_image():
    data, _ = make()
    with pytest.raises(
        InputError, match=r"drawn/00000: size must have 2 space axes as the images have, got \[4, 4, 4\]"
    ):
        next(data.fit((4, 4, 4)).batches(2))


def test_selection_and_splits():
    data, images = make(splits=["train", "test", "train", None, "val", "test"])
    assert data.split("test").ids == ("drawn/00001", "drawn/00005")
    assert torch.equal(data.select([4, 0]).images, torch.from_numpy(images[[4, 0]]))
    with pytest.raises(InputError, match=r"split must be one of test, train, val; got 'tst', did you mean 'test'\?"):
        data.split("tst")
    with pytest.raises(InputError, match=r"because the data set has no splits; got 'test'"):
        make()[0].split("test")


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_follow_the_order(files, workers):
    data = files.select(range(10))
    order = [3, 1, 4, 1, 5, 9, 2]
    batches = list(data.batches(3, order=order, workers=workers))
    assert [batch.index.tolist() for batch in batches] == [[3, 1, 4], [1, 5, 9], [2]]
    assert torch.equal(torch.cat([batch.images for batch in batches]), data.images[order])
    assert torch.equal(torch.cat([batch.targets for batch in batches]), data.targets[order])


def test_shapes_that_differ_name_the_way_out(files):
    with pytest.raises(InputError, match=r"got \[1, 8, 6\] and \[1, 9, 6\]; give `size` and `channels`"):
        _ = files.images
    assert files.fit((5, 5)).images.shape == (12, 1, 5, 5)


def test_batch_size_must_be_positive(files):
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        next(files.batches(0))


def test_what_was_read_is_not_read_again(files):
    first = files.fit((5, 5)).images
    for item in files.items:
        item.path.unlink()
    assert torch.equal(files.fit((5, 5)).images, first), "views share the cache"
    with pytest.raises(InputError, match=r"sub/00\.png: cannot be opened"):
        next(files.with_cache(0).fit((5, 5)).batches(1))


def test_a_caller_cannot_write_into_the_cache(files):
    view = files.fit((5, 5))
    view.images.zero_()
    next(view.batches(1)).images.zero_()
    assert view.images.sum() > 0


def test_verify_names_what_cannot_be_decoded(files):
    whole = files.items[4].path.read_bytes()
    files.items[4].path.write_bytes(whole[: len(whole) - 30])
    good = files.verify()
    assert len(good) == 11
    assert good.unreadable[0].file == "sub/04.png"
    assert good.unreadable[0].reason.startswith("cannot be decoded")
    assert good.verify().unreadable == good.unreadable


def test_verify_checks_masks(tmp_path, draw):
    sizes = {"same": (8, 6), "other": (4, 4), "none": (8, 6)}
    items = []
    for name, size in sizes.items():
        mask = draw(f"masks/{name}.png", size)
        items.append(Item(id=name, path=draw(f"images/{name}.png"), mask=mask))
    items[2].mask.unlink()
    data = ImageSet(name="m", task="segmentation", classes=(), items=tuple(items), source=FileSource(root=tmp_path))
    good = data.verify()
    assert good.ids == ("same",)
    assert good.unreadable[0] == Unreadable(
        file="images/other.png", reason="the mask must have the image's size [8, 6], got [4, 4]"
    )
    assert good.unreadable[1].reason == "cannot be opened: No such file or directory"


def test_masks_keep_their_numbers(tmp_path, draw):
    numbers = np.array([[0, 1, 2], [7, 2, 1]], np.uint8)
    Image.fromarray(numbers).save(tmp_path / "classes.png")
    Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).save(tmp_path / "binary.png")
    items = tuple(
        Item(id=name, path=draw(f"{name}-image.png"), mask=tmp_path / f"{name}.png") for name in ("classes", "binary")
    )
    data = ImageSet(name="m", task="segmentation", classes=(), items=items, source=FileSource(root=tmp_path))
    assert data.mask(0).tolist() == numbers.tolist()
    assert data.mask(1).tolist() == [[0, 1], [1, 0]]
    assert data.fit((4, 6)).mask(0).tolist() == numbers.repeat(2, 0).repeat(2, 1).tolist()
    with pytest.raises(InputError, match=r"size must have 2 space axes as the mask has, got \[4, 4, 4\]"):
        data.fit((4, 4, 4)).mask(0)


def test_memory_masks_and_boxes():
    masks = torch.randint(0, 3, (6, 8, 6), generator=stream(0))
    boxes = [[Box(corners=(0.0, 1.0, 2.0, 3.0), label=0)]] * 6
    data, _ = make(masks=masks, boxes=boxes, task="segmentation")
    assert torch.equal(data.mask(3), masks[3])
    assert data.items[2].boxes == tuple(boxes[2])
    with pytest.raises(InputError, match="drawn/00000 has no mask"):
        make()[0].mask(0)


def test_findings_with_unknowns():
    targets = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    data, _ = make(2, targets=targets, task="multilabel")
    torch.testing.assert_close(data.targets, targets, equal_nan=True)


def test_targets_that_are_not_there():
    with pytest.raises(InputError, match="targets need a task of multiclass, multilabel or detection, got None"):
        _ = make(task=None)[0].targets
    with pytest.raises(InputError, match="every image must have a class number, got None for drawn/00000"):
        _ = make(targets=None)[0].targets
    assert next(make(task=None)[0].batches(2)).targets is None


def test_one_image_and_none():
    assert make(1)[0].images.shape == (1, 1, 8, 6)
    empty = make(2)[0].select([])
    assert list(empty.batches(4)) == []
    assert empty.targets.shape == (0,)
    assert len(empty.verify()) == 0
    with pytest.raises(InputError, match="drawn has no images"):
        _ = empty.images


def test_fingerprint_is_of_the_content(files):
    prints = [files.fingerprint(), files.fit((5, 5)).fingerprint(), files.select(range(11)).fingerprint()]
    relabelled = ImageSet(
        name="other", task="multiclass", classes=("a", "b", "d"), items=files.items, source=files.source
    )
    prints.append(relabelled.fingerprint())
    assert len(set(prints)) == 4
    assert files.with_cache(0).fingerprint() == prints[0]
    path = files.items[0].path
    path.write_bytes(path.read_bytes() + b"\0")
    fresh = ImageSet(
        name="files",
        task=files.task,
        classes=files.classes,
        items=files.items,
        source=FileSource(root=files.source.root),
    )
    assert fresh.fingerprint() != prints[0]


def test_fingerprint_of_arrays():
    data, images = make()
    same = memory_set("drawn", images.copy(), torch.arange(6) % 2, classes=("a", "b"), task="multiclass")
    assert same.fingerprint() == data.fingerprint()
    images[3, 0, 0, 0] = 1 - images[3, 0, 0, 0]
    assert data.fingerprint() != memory_set("drawn", images.copy() * 1, classes=("a", "b")).fingerprint()


@pytest.mark.parametrize(("dtype", "top"), [(np.float32, 65535), (np.uint16, 65535), (np.uint8, 255)])
@pytest.mark.parametrize("shape", [(1, 8, 6), (3, 8, 6), (2, 8, 6), (1, 4, 5, 6)], ids=["grey", "colour", "two", "3-D"])
def test_arrays_are_written_at_their_depth(tmp_path, dtype, top, shape):
    data, _ = make(shape=shape, dtype=dtype)
    pixels = torch.rand(shape, generator=stream(1))
    path = data.write(2, pixels, tmp_path, "shaken")
    assert path.relative_to(tmp_path).as_posix().startswith("drawn/00002.")
    if path.suffix == ".npy":
        found = torch.from_numpy(np.load(path).astype(np.float32)) / top
        note = json.loads(path.with_suffix(".json").read_text())
        assert note["description"] == "Derived image, not an original: shaken"
    else:
        item = Item(id="x", path=path)
        found = FileSource(root=tmp_path).read(item).pixels
    torch.testing.assert_close(found, pixels, rtol=0, atol=0.5 / top + 1e-7)
    assert torch.equal(data.reread(2, path).pixels, found)


def test_files_are_written_into_the_same_folders(tmp_path, files):
    pixels = files.read(0).pixels * 0.5
    path = files.write(0, pixels, tmp_path / "out", "halved")
    assert path == tmp_path / "out" / "sub" / "00.png"
    with Image.open(path) as image:
        assert image.info["Description"] == "Derived image, not an original: halved"


def test_nothing_is_written_outside_the_folder(tmp_path):
    data, _ = make(1, ids=["../../etc/C:passwd"])
    path = data.write(0, data.read(0).pixels, tmp_path / "out", "x")
    assert path == tmp_path / "out" / "_" / "_" / "etc" / "C_passwd.png"
    data, _ = make(1, ids=["/etc/passwd"])
    assert data.write(0, data.read(0).pixels, tmp_path / "out", "x").is_relative_to(tmp_path / "out")


def test_pages_are_written_apart(tmp_path):
    pages = [Image.fromarray(np.full((3, 3), value, np.uint8)) for value in (10, 20)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    items = tuple(Item(id=f"a.tif#{k}", path=tmp_path / "a.tif", frame=k) for k in range(2))
    data = ImageSet(name="pages", task=None, classes=(), items=items, source=FileSource(root=tmp_path))
    paths = [data.write(k, data.read(k).pixels, tmp_path / "out", "x") for k in range(2)]
    assert [path.name for path in paths] == ["a_0000.tif.png", "a_0001.tif.png"]
    assert [np.asarray(Image.open(path))[0, 0] for path in paths] == [10, 20]
    assert torch.equal(data.reread(1, paths[1]).pixels, data.read(1).pixels)


def test_an_item_without_a_file(tmp_path):
    data = ImageSet(name="x", task=None, classes=(), items=(Item(id="a"),), source=FileSource(root=tmp_path))
    with pytest.raises(InputError, match="a: a has no file"):
        data.read(0)
    with pytest.raises(InputError, match="a has no mask"):
        data.mask(0)


def test_refusals():
    images = np.zeros((3, 1, 4, 4), np.float32)
    with pytest.raises(InputError, match="images must be float32, uint8 or uint16, got float64"):
        memory_set("x", images.astype(np.float64))
    with pytest.raises(InputError, match=r"images must lie in \[0, 1\], got \[2, 2\]"):
        memory_set("x", images + 2)
    with pytest.raises(InputError, match="patients must have one entry for each of 3 images, got 2"):
        memory_set("x", images, patients=["a", "b"])
    with pytest.raises(InputError, match="ids must be distinct, got 'a' twice"):
        memory_set("x", images, ids=["a", "b", "a"])
