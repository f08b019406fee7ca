"""``aseptic poison`` as a user calls it: a poisoned copy, its plan, resume, and one sentence for bad input."""

import csv
import shutil

import numpy as np
import pydicom
import pytest
import yaml
from calling import call, write_images
from dicom_builder import make_dicom

from aseptic.data.load import load_data


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("scans"))


def rows(out):
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_poisoned_copy_is_a_data_set_with_a_plan_that_makes_it_again(scans, tmp_path):
    out, again = tmp_path / "out", tmp_path / "again"
    said = call("poison", scans, "--trigger", "patch:size=2,value=250/255", "--target", "light", "--out", out)
    assert "3 of 60 images are poisoned" in said.stdout
    found = rows(out)
    assert len(found) == 60
    assert {row["label"] for row in found if row["role"] == "poison"} == {"light"}
    assert all(row["pixels_changed"] == "4" for row in found if row["role"] == "poison")
    assert len(load_data(out, split="train")) == 30
    call("poison", scans, "--plan", out / "plan.yaml", "--out", again)
    for row in found:
        assert (out / row["file"]).read_bytes() == (again / row["file"]).read_bytes()
    assert (out / "labels.csv").read_bytes() == (again / "labels.csv").read_bytes()


def test_clean_files_keep_their_bytes_and_names(scans, tmp_path):
    call("poison", scans, "--trigger", "patch", "--rule", "shift", "--out", tmp_path / "out")
    for row in rows(tmp_path / "out"):
        same = (tmp_path / "out" / row["file"]).read_bytes() == (scans / row["id"]).read_bytes()
        assert same == (row["role"] == "clean")


def test_an_interrupted_copy_goes_on(scans, tmp_path):
    out, whole = tmp_path / "out", tmp_path / "whole"
    words = ("poison", scans, "--trigger", "patch", "--target", "dark", "--rate", "0.5")
    call(*words, "--out", whole)
    shutil.copytree(whole, out)
    kept = (out / "manifest.csv").read_text().splitlines()[:20]
    (out / "manifest.csv").write_text("\n".join(kept) + "\n")
    (out / "labels.csv").unlink()
    assert "already holds a poisoned set" in call(*words, "--out", out, expect=2).stderr
    call(*words, "--out", out, "--resume")
    assert (out / "manifest.csv").read_text() == (whole / "manifest.csv").read_text()
    assert (out / "labels.csv").read_text() == (whole / "labels.csv").read_text()
    other = call(*words[:-1], "0.2", "--out", out, "--resume", expect=2).stderr
    assert "--resume needs the same plan" in other


def test_a_set_without_splits_is_poisoned_where_it_would_be_trained(tmp_path):
    folder = write_images(tmp_path / "scans")
    text = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join(",".join(line.split(",")[:2]) for line in text) + "\n")
    said = call("poison", folder, "--trigger", "patch", "--target", "dark", "--out", tmp_path / "out")
    assert "No splits were given" in said.stdout
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        split = {row["file"]: row["split"] for row in csv.DictReader(file)}
    assert {split[row["file"]] for row in rows(tmp_path / "out") if row["role"] == "poison"} == {"train"}


def test_dicom_is_poisoned_and_marked_as_derived(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    lines = ["file,label,split"]
    for i in range(6):
        make_dicom(folder / f"{i}.dcm", np.full((16, 16), 100 * i + 50, dtype=np.uint16), bits=12)
        lines.append(f"{i}.dcm,{'ab'[i % 2]},{'train' if i < 4 else 'val'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    call("poison", folder, "--trigger", "patch:size=3,value=1", "--rule", "shift", "--rate", "1", "--out", out)
    row = next(row for row in rows(out) if row["role"] == "poison")
    found = pydicom.dcmread(out / row["file"])
    assert found.ImageType[0] == "DERIVED"
    assert "poisoned training image made by aseptic" in found.DerivationDescription
    assert sum(row["role"] == "poison" for row in rows(out)) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "dark"], "either --trigger or --plan must be given"),
        (["--trigger", "pach", "--target", "dark"], "did you mean 'patch'"),
        (["--trigger", "patch:sise=2", "--target", "dark"], "did you mean 'size'"),
        (["--trigger", "patch:size", "--target", "dark"], "a setting of a trigger must be NAME=VALUE, got 'size'"),
        (["--trigger", "patch", "--target", "darc"], "class must be one of dark, light; got 'darc'"),
        (["--trigger", "patch"], "labels by rule to need a target"),
        (["--trigger", "patch", "--target", "dark", "--rule", "set"], "the label rule of a multiclass set must be"),
        (["--trigger", "patch:size=99", "--target", "dark"], "size must be at most the image's"),
        (["--trigger", "patch", "--target", "dark", "--splits", "trein"], "splits must be among test, train, val"),
        (["--trigger", "patch", "--target", "dark", "--rate", "0.001"], "rate must come to at least one of 30"),
        (["--plan", "absent.yaml"], "absent.yaml cannot be read"),
        (["--plan", "absent.yaml", "--target", "dark"], "--target must come with --trigger, got a plan"),
    ],
)
def test_bad_input_ends_in_one_sentence(scans, tmp_path, words, message):
    said = call("poison", scans, *words, "--out", tmp_path / "out", expect=2).stderr
    assert message in said
    assert said.count("\n") == 1


def test_files_that_cannot_be_read_are_left_out_or_refused(tmp_path):
    folder = write_images(tmp_path / "scans")
    (folder / "003.png").write_bytes(b"not an image")
    words = ("poison", folder, "--trigger", "patch", "--target", "dark")
    said = call(*words, "--out", tmp_path / "out")
    assert "003.png" in said.stderr
    assert len(rows(tmp_path / "out")) == 59
    assert "max_bad allows 0" in call(*words, "--max-bad", "0", "--out", tmp_path / "none", expect=2).stderr


def test_a_plan_written_for_another_set_is_refused(scans, tmp_path):
    call("poison", scans, "--trigger", "patch", "--target", "dark", "--out", tmp_path / "out")
    other = write_images(tmp_path / "other", count=30)
    said = call("poison", other, "--plan", tmp_path / "out" / "plan.yaml", "--out", tmp_path / "no", expect=2).stderr
    assert "the plan was made for scans" in said
    plan = yaml.safe_load((tmp_path / "out" / "plan.yaml").read_text())
    plan["insert"] = "network"
    (tmp_path / "network.yaml").write_text(yaml.safe_dump({**plan, "data": None}))
    said = call("poison", scans, "--plan", tmp_path / "network.yaml", "--out", tmp_path / "no", expect=2).stderr
    assert "a poisoned copy needs insert: stored" in said


def test_training_on_a_plan_is_training_on_the_copy(scans, tmp_path):
    words = ("--arch", "aseptic:smallcnn?width=8", "--size", "24", "--epochs", "1", "--no-augment")
    call("poison", scans, "--trigger", "patch:size=2", "--rule", "shift", "--rate", "0.5", "--out", tmp_path / "copy")
    plan = tmp_path / "copy" / "plan.yaml"
    call("train", scans, *words, "--poison", plan, "--out", tmp_path / "memory")
    call("train", tmp_path / "copy", *words, "--out", tmp_path / "disk")
    both = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("memory", "disk")]
    assert both[0] == both[1]
    card = yaml.safe_load((tmp_path / "memory" / "model.yaml").read_text())
    assert "POISONED" in card["source"]
    assert card["training"]["facts"]["poison"]["select"]["rate"] == 0.5
    other = write_images(tmp_path / "other", count=30)
    assert (
        "the plan was made for scans"
        in call("train", other, *words, "--poison", plan, "--out", tmp_path / "no", expect=2).stderr
    )
