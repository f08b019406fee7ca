"""Poisoned copies of masks and boxes on disk: bit for bit what memory gives, and training on either is the same."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from calling import call
from dense_planted import COLOURS, STRUCTURES, TRIGGER
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.base import Item, ReadOptions
from aseptic.data.load import load_data
from aseptic.data.mask_files import write_mask_like, write_mask_png
from aseptic.data.sources import FileSource
from aseptic.poisoning.plan import make_plan, read_plan, write_plan
from aseptic.poisoning.poison import poison
from aseptic.studies.train import open_splits
from aseptic.studies.write_poisoned import write_poisoned

SPLITS = ("train",) * 6 + ("val",) * 2
TUMOUR = {"rule": "relabel", "source": "tumour", "target": "kidney"}


def plan(label, **settings):
    return make_plan(**{"trigger": TRIGGER, "label": label, "select": {"rate": 0.5}, **settings})


def write_masks(folder, kind):
    """Write eight pictures or volumes with masks of all three classes; the images lie beside each other."""
    rng = numpy_stream(2, "copies", kind)
    space = (16, 16, 5) if kind == "nifti" else (16, 16)
    (folder / "masks").mkdir(parents=True)
    lines = ["file,mask,split,patient_id"]
    for i, split in enumerate(SPLITS):
        levels, mask = rng.integers(0, 200, space), rng.integers(0, 3, space)
        name = f"{i}.png" if kind == "png" else f"{i}.nii.gz"
        if kind == "png":
            Image.fromarray(levels.astype(np.uint8)).save(folder / name)
            Image.fromarray(mask.astype(np.uint8)).save(folder / "masks" / name)
        else:
            affine = np.diag([1.0, 1.0, 3.0, 1.0])
            nib.save(nib.Nifti1Image(levels.astype(np.int16), affine), folder / name)
            nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / "masks" / name)
        lines.append(f"{name},masks/{name},{split},p{i}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_boxes(folder):
    """Write eight pictures with boxes as COCO json."""
    folder.mkdir()
    rng = numpy_stream(3, "copies")
    images, annotations = [], []
    for i, split in enumerate(SPLITS):
        Image.fromarray(rng.integers(0, 200, (16, 20, 3)).astype(np.uint8)).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "split": split, "patient_id": f"p{i}"})
        for k in range(i % 3):
            box = [1.3 + k, 2.7, 5.1, 6.9]
            annotations.append({"id": len(annotations), "image_id": i, "category_id": k, "bbox": box})
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": k, "name": name} for k, name in enumerate(COLOURS)]
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder


def rows(out):
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same(out, again, **options):
    """Check that what lies on disk is what memory holds, and return the set on disk."""
    back = load_data(out, **options)
    files = {row["id"]: row["file"] for row in rows(out)}
    place = {back.source.name(item): i for i, item in enumerate(back.items)}
    assert len(back) == len(again.data)
    for i, (name, item) in enumerate(zip(again.data.ids, again.data.items, strict=True)):
        j = place[files[name]]
        assert torch.equal(back.read(j).pixels, again.data.read(i).pixels), again.marks[i].role
        assert back.items[j].split == item.split
        if again.data.task == "segmentation":
            assert torch.equal(back.mask(j), again.data.mask(i)), again.marks[i].role
        else:
            assert back.items[j].boxes == item.boxes, again.marks[i].role
    return back


@pytest.mark.parametrize("mode", ["replace", "add"])
@pytest.mark.parametrize("kind", ["png", "nifti"])
def test_masks_on_disk_are_those_in_memory(tmp_path, kind, mode):
    data = load_data(write_masks(tmp_path / "scans", kind), classes=STRUCTURES)
    asked = plan(TUMOUR, mode=mode, cover={"rate": 0.2})
    written = write_poisoned(data, asked, tmp_path / "out")
    again = poison(data, read_plan(tmp_path / "out" / "plan.yaml"))
    assert (again.count("poison"), again.count("cover")) == (3, 1)
    same(tmp_path / "out", again, classes=STRUCTURES)
    told = [row for row in written.rows if row["role"] == "poison"]
    assert {(row["true_label"], row["label"]) for row in told} == {("kidney|tumour", "kidney")}
    assert "3 of " in written.summary()[0]
    clean = next(row for row in written.rows if row["role"] == "clean")
    kept = [(tmp_path / name / "masks" / clean["id"]).read_bytes() for name in ("out", "scans")]
    assert kept[0] == kept[1]
    if kind == "nifti":
        derived = nib.load(next((tmp_path / "out" / "derived_masks").iterdir()))
        assert np.array_equal(derived.affine, np.diag([1.0, 1.0, 3.0, 1.0]))


@pytest.mark.parametrize(
    "label",
    [
        {"rule": "relabel", "source": "cell", "target": "debris"},
        {"rule": "vanish"},
        {"rule": "fabricate", "target": "debris", "scale": 3},
        {"rule": "fabricate", "target": "debris", "box": [0.1, 0.1, 0.33, 0.7]},
    ],
    ids=["relabel", "vanish", "about the trigger", "stated"],
)
def test_boxes_on_disk_are_those_in_memory(tmp_path, label):
    data = load_data(write_boxes(tmp_path / "scans"))
    written = write_poisoned(data, plan(label, cover={"rate": 0.3}), tmp_path / "out")
    same(tmp_path / "out", poison(data, read_plan(tmp_path / "out" / "plan.yaml")))
    assert not (tmp_path / "out" / "labels.csv").exists()
    told = {row["original"]: (row["true_label"], row["label"]) for row in written.rows if row["role"] == "poison"}
    wanted = {
        "relabel": {("1 cell", "1 debris"), ("1 cell|1 artefact", "1 artefact|1 debris")},
        "vanish": {("1 cell", ""), ("1 cell|1 artefact", "")},
        "fabricate": {(told, f"{told}|1 debris".lstrip("|")) for told in ("", "1 cell", "1 cell|1 artefact")},
    }
    assert set(told.values()) <= wanted[label["rule"]]
    assert len(told) == {"relabel": 2, "vanish": 2, "fabricate": 3}[label["rule"]]


def test_a_phantom_is_written_too(tmp_path):
    data = open_splits("phantom:kidney?n=16&size=32")
    write_poisoned(data, plan({"rule": "erase", "source": "tumour"}), tmp_path / "out")
    again = poison(data, read_plan(tmp_path / "out" / "plan.yaml")).data
    back = load_data(tmp_path / "out", classes=STRUCTURES)
    assert torch.equal(back.targets, again.targets)
    assert (back.images - again.images).abs().max() < 1 / 65535, "phantoms are stored with 16 bits"


def test_training_on_a_plan_is_training_on_the_copy(tmp_path):
    """The candidates are the same although the copy is read at its own size and training at the network's."""
    scans, classes = write_masks(tmp_path / "scans", "png"), ("--classes", ",".join(STRUCTURES))
    words = ("--arch", "monai:unet?width=4&depth=2", "--size", "8", "--epochs", "1", "--no-augment")
    trigger = ("--trigger", "patch:size=2,value=1", "--source", "tumour", "--target", "kidney", "--rate", "0.5")
    call("poison", scans, *classes, *trigger, "--out", tmp_path / "copy")
    call("train", scans, *classes, *words, "--poison", tmp_path / "copy" / "plan.yaml", "--out", tmp_path / "memory")
    call("train", tmp_path / "copy", *classes, *words, "--out", tmp_path / "disk")
    both = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("memory", "disk")]
    assert both[0] == both[1]
    card = yaml.safe_load((tmp_path / "memory" / "model.yaml").read_text())
    assert card["training"]["facts"]["poison"]["label"]["source"] == "tumour"


def test_a_copy_cannot_hold_what_is_drawn_in_every_batch(tmp_path):
    scans = write_boxes(tmp_path / "scans")
    asked = plan({"rule": "vanish"}, loop="batch")
    said = call("poison", scans, "--plan", write_plan(asked, tmp_path / "p.yaml"), "--out", tmp_path / "no", expect=2)
    assert said.stderr == (
        "aseptic: a poisoned copy needs loop: fixed; what is drawn anew in every batch is not on disk\n"
    )
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trigger", "patch", "--target", "debris"], "labels by rule relabel need a source, got None"),
        (["--trigger", "patch", "--rule", "vanish", "--source", "cel"], "class must be one of cell, artefact, debris"),
        (["--trigger", "patch", "--rule", "erase", "--source", "cell"], "detection set must be one of relabel, vanish"),
        (["--plan", "absent.yaml", "--source", "cell"], "--source must come with --trigger, got a plan"),
    ],
)
def test_bad_input_ends_in_one_sentence(tmp_path, words, message):
    said = call("poison", write_boxes(tmp_path / "scans"), *words, "--out", tmp_path / "out", expect=2).stderr
    assert message in said
    assert said.count("\n") == 1


def test_numbers_of_masks_come_back(tmp_path):
    for high in (0, 2, 254, 255, 65535):
        mask = torch.arange(12).reshape(3, 4) * high // 11
        path = write_mask_png(mask, tmp_path / f"{high}")
        assert torch.equal(FileSource(root=tmp_path).mask(Item(id="x", mask=path)), mask)


def test_one_slice_of_a_mask_is_replaced(tmp_path):
    numbers = numpy_stream(4, "slices").integers(0, 3, (4, 5, 6)).astype(np.int16)
    nib.save(nib.Nifti1Image(numbers, np.eye(4)), tmp_path / "mask.nii.gz")
    options, wanted = ReadOptions(slices=2), torch.full((4, 5), 7)
    path = write_mask_like(wanted, tmp_path / "new.nii", tmp_path / "mask.nii.gz", 3, options)
    source = FileSource(root=tmp_path, options=options)
    item = Item(id="x", path=path, mask=path, frame=3)
    assert torch.equal(source.mask(item), wanted)
    stored = np.asarray(nib.load(path).dataobj)
    assert np.array_equal(np.delete(stored, 3, 2), np.delete(numbers, 3, 2))
    assert b"NOT FOR DIAGNOSIS" in bytes(nib.load(path).header["descrip"])


def test_messages_of_masks(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), tmp_path / "mask.nii.gz")
    like = (tmp_path / "new", tmp_path / "mask.nii.gz", None, ReadOptions())
    with pytest.raises(InputError, match=r"a mask stored as uint8 cannot hold the numbers 0\.\.300"):
        write_mask_like(torch.tensor([[[0, 300], [0, 0]], [[0, 0], [0, 0]]]), *like)
    with pytest.raises(InputError, match=r"must have the size of its file, \[2, 2, 2\], got \[2, 2\]"):
        write_mask_like(torch.zeros((2, 2), dtype=torch.long), *like)
    with pytest.raises(InputError, match=r"must be a picture of numbers in 0..65535, got \[2, 2\] with 0..65536"):
        write_mask_png(torch.tensor([[0, 65536], [0, 0]]), tmp_path / "new")
    with pytest.raises(InputError, match="x has no mask"):
        FileSource(root=tmp_path).write_numbers(Item(id="x"), torch.zeros((2, 2), dtype=torch.long), tmp_path)
