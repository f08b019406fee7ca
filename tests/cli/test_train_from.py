"""``aseptic train --from``: a model goes on, and what contradicts it is one sentence."""

import re

import numpy as np
import pytest
import torch
from calling import call, write_images
from PIL import Image

from aseptic.core.rng import numpy_stream
from aseptic.models.card import read_card
from aseptic.models.load import load_model

FIRST = ("--arch", "aseptic:smallcnn?width=4", "--size", "24", "--epochs", "2", "--lr", "5e-3", "--std", "0.2")
NEXT = ("--epochs", "2", "--keep", "last", "--freeze", "all-but-head", "--share", "0.5", "--seed", "3")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "model"
    call("train", data, *FIRST, "--out", out)
    return out


def test_goes_on_from_a_folder_and_resumes(data, model, tmp_path):
    out = tmp_path / "new"
    found = call("train", data, "--from", model, *NEXT, "--out", out)
    assert "note: Trained on 15 of 30 patients, 15 of 30 images, drawn with seed 3." in found.stdout
    assert "test auroc_macro" in found.stdout
    before, after = (read_card(folder / "model.yaml") for folder in (model, out))
    facts = after.training["facts"]
    assert (facts["started_from"], facts["keep"], facts["frozen"]) == (before.sha256, "last", ["all-but-head"])
    assert facts["patience"] is None
    assert before.training["facts"]["patience"] == 8
    assert after.training["kept_epoch"] == 2
    assert after.training["training_images"] == 15
    same = ("architecture", "task", "classes", "size", "channels", "mean", "std")
    assert [getattr(before, name) for name in same] == [getattr(after, name) for name in same]
    weights = [load_model(folder).module.state_dict() for folder in (model, out)]
    changed = {name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])}
    assert changed == {"head.weight", "head.bias"}
    again = call("train", data, "--from", model, *NEXT, "--out", out, "--resume")
    assert again.stdout.splitlines()[-5:] == found.stdout.splitlines()[-5:]
    refused = call("train", data, "--from", out, *NEXT, "--out", out, "--resume", expect=2)
    assert "cannot go on with other settings: started_from was" in refused.stderr


def test_the_facts_of_the_model_may_be_repeated(data, model, tmp_path):
    words = (
        "--arch",
        "aseptic:smallcnn?width=4",
        "--size",
        "24x24",
        "--channels",
        "1",
        "--mean",
        "0.5",
        "--std",
        "0.2",
    )
    words = (*words, "--task", "multiclass", "--classes", "dark,light", "--epochs", "1")
    call("train", data, "--from", model, *words, "--out", tmp_path / "new")
    assert (tmp_path / "new" / "model.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--arch", "timm:resnet18"), "arch must be that of the model in MODEL, aseptic:smallcnn?width=4, or be left"),
        (("--task", "multilabel"), "task must be that of the model in MODEL, multiclass, or be left out with --from;"),
        (("--classes", "light,dark"), "classes must be that of the model in MODEL, dark, light, or be left out"),
        (("--size", "32"), "size must be that of the model in MODEL, 24, 24, or be left out with --from; got 32"),
        (("--channels", "3"), "channels must be that of the model in MODEL, 1, or be left out with --from; got 3"),
        (
            ("--mean", "imagenet"),
            "mean must be that of the model in MODEL, 0.5, or be left out with --from; got imagenet",
        ),
        (("--std", "0.25"), "std must be that of the model in MODEL, 0.2, or be left out with --from; got 0.25"),
        (("--freeze", "haed"), "freeze must name layers such as features, dropout, head, or all-but-head; got 'haed',"),
        (("--freeze", "features,head"), "freeze must leave something to train, got features, head, which is every"),
        (("--share", "0"), "share must lie in (0, 1], got 0"),
        (("--keep", "first"), "keep must be one of best, last; got 'first'"),
        (("--from", "nowhere"), "from must be a model folder, which holds model.yaml; got 'nowhere'"),
    ],
)
def test_what_contradicts_the_model_is_one_sentence(data, model, tmp_path, words, message):
    start = () if "--from" in words else ("--from", model)
    found = call("train", data, *start, *words, "--epochs", "1", "--out", "x", cwd=tmp_path, expect=2)
    assert message in re.sub(r"\s+", " ", found.stderr.replace(str(model), "MODEL"))
    assert list(tmp_path.iterdir()) == []


def test_other_classes_and_no_network_are_refused(data, model, tmp_path):
    table = (data / "labels.csv").read_text().replace(",light,", ",bright,")
    for file in data.glob("*.png"):
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "labels.csv").write_text(table)
    found = call("train", tmp_path, "--from", model, "--out", tmp_path / "new", expect=2)
    assert "must be dark, light, as the model has: it lacks light; it also has bright" in found.stderr
    found = call("train", data, "--out", tmp_path / "new", expect=2)
    assert "arch must be given, such as --arch timm:resnet18, or else a model folder, with --from" in found.stderr


def test_masks_without_names_have_those_of_the_model(tmp_path):
    rng, folder = numpy_stream(0, "masks"), tmp_path / "set"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for i in range(16):
        mask = np.zeros((16, 16), np.uint8)
        mask[4:9, 4:9] = 1
        Image.fromarray(mask).save(folder / "masks" / f"{i:02d}.png")
        Image.fromarray((rng.uniform(0, 90, mask.shape) + 90 * mask).astype(np.uint8)).save(
            folder / "images" / f"{i:02d}.png"
        )
    words = ("--epochs", "1", "--batch-size", "4")
    unet, first = ("--arch", "monai:unet?width=4&depth=2", "--size", "16"), tmp_path / "first"
    call("train", folder, *unet, "--classes", "background,organ", *words, "--out", first)
    call("train", folder, "--from", first, "--freeze", "model.0", *words, "--out", tmp_path / "second")
    assert load_model(tmp_path / "second").task.classes == ("background", "organ")
