"""``aseptic scan`` as a user calls it: of a model, of a set, with twins, and every combination that makes no sense."""

import json

import pytest
from calling import CLASSES, call, write_images
from PIL import Image, ImageOps

from aseptic.models.save import save_model
from aseptic.models.training import new_subject

MMBD = ("--scanner", "mm-bd:starts=1,steps=2")
SPECTRUM = ("--scanner", "spectrum:bands=4,at_least=8", "--draws", "19")
TWINS = ("--twins", "1", "--training", "training.yaml")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Return a folder with images, a model that learnt nothing, and settings for its twins."""
    root = tmp_path_factory.mktemp("given")
    write_images(root / "scans", count=48)
    model = new_subject("aseptic:smallcnn?width=4", task="multiclass", classes=CLASSES, size=24, channels=1)
    save_model(model, root / "model")
    (root / "training.yaml").write_text("{epochs: 2, batch_size: 12, keep: last, patience: null}\n")
    return root


@pytest.fixture(scope="module")
def run(given):
    poison = ("--trigger", "patch:size=3,value=250/255", "--target", "light", "--poison-rate", "0.5", "--infected", "1")
    words = ("scan", "model", "--data", "scans", *MMBD, *TWINS, *poison, "--out", "run")
    planned = call(*words, "--dry-run", cwd=given)
    assert not (given / "run").exists()
    return planned, call(*words, cwd=given)


def findings(folder):
    return {one["id"]: one for one in json.loads((folder / "results.json").read_text())["findings"]}


def test_a_model_is_scanned_with_its_twins(given, run):
    planned, said = run
    assert "twin/clean/0" in planned.stdout
    assert "minutes in all" in planned.stdout
    note = "mm-bd will not be able to tell: at least 19 clean twins are needed, and there are 1"
    assert f"note: {note}" in planned.stderr
    assert "done mm-bd/model" in said.stderr
    assert said.stdout.startswith("It cannot be told whether this model carries a backdoor.\n")
    assert "report: run/report.html" in said.stdout
    found = findings(given / "run")
    assert found["verdict"]["args"]["answer"] == "cannot tell"
    assert found["scan.mm-bd.p_value"]["n"] == 1
    assert "scan.mm-bd.power:patch" in found
    page = (given / "run" / "report.html").read_bytes()
    (given / "run" / "report.html").unlink()
    call("report", given / "run")
    assert (given / "run" / "report.html").read_bytes() == page
    assert "already holds a run" in call("scan", "model", "--out", "run", *MMBD, cwd=given, expect=2).stderr


@pytest.mark.usefixtures("run")
def test_twins_of_one_scan_serve_the_next(given):
    words = ("scan", "model", "--data", "scans", *MMBD, "--null", "run/null.json", "--out", "again")
    call(*words, cwd=given)
    assert findings(given / "again")["scan.mm-bd.p_value"]["value"] in {0.5, 1.0}
    first, again = (findings(given / name)["scan.mm-bd.statistic"]["value"] for name in ("run", "again"))
    assert first == pytest.approx(again, rel=1e-5)


def test_gates_and_scanners_that_need_no_images(given):
    low, high = "scan.mm-bd.seconds>=0", "scan.mm-bd.seconds<0"
    found = call("scan", "model", *MMBD, "--out", "bare", "--fail-on", low, "--fail-on", high, cwd=given, expect=1)
    assert found.stdout.endswith(f"gate crossed: {low}\n")


def test_a_training_set_is_scanned(given):
    assert "24 images" in call("scan", "scans", *SPECTRUM, "--out", "set", "--dry-run", cwd=given).stdout
    found = call("scan", "scans", *SPECTRUM, "--out", "set", cwd=given)
    assert "The most suspicious label is" in found.stdout
    assert findings(given / "set")["scan.spectrum.statistic"]["n"] == 24, "the train split, where there is one"
    more = ("--scanner", "spectral-signatures:at_least=8", "--draws", "19", "--split", "val", "--limit", "8")
    with_model = call("scan", "scans", "--model", "model", *more, "--out", "set2", cwd=given, expect=2)
    assert "some label must have at least 8 images for spectral-signatures; got dark 4, light 4" in with_model.stderr


def test_a_training_set_is_compared_with_clean_ones(given):
    folder = write_images(given / "trusted", count=80)
    for file in folder.glob("*.png"):
        ImageOps.flip(Image.open(file)).save(file)  # the same images would not be another set
    poison = ("--trigger", "patch:size=3,value=250/255", "--target", "light", "--infected", "2")
    words = ("scan", "scans", *SPECTRUM, "--clean", "trusted", "--parts", "19", *poison, "--out", "set3")
    assert "spectrum/clean-sets" in call(*words, "--dry-run", cwd=given).stdout
    told = call(*words, cwd=given).stdout
    assert "of 19 clean sets come up to its statistic" in told
    found = findings(given / "set3")
    assert found["scan.spectrum.p_value"]["n"] == 19
    assert found["scan.spectrum.power:patch"]["n"] == 2
    assert json.loads((given / "set3" / "results.json").read_text())["config"]["clean"] == ["trusted"]
    page = (given / "set3" / "report.html").read_text()
    assert "Compared with clean sets; n counts them" in page
    assert "Clean sets called infected" in page
    assert "among those of clean sets" in page


def test_scanners_are_listed():
    listed = dict(line.split(maxsplit=1) for line in call("list", "scanners").stdout.splitlines())
    assert {"mm-bd", "neural-cleanse", "spectrum", "beatrix"} <= set(listed)
    assert all(len(line) > 30 and line.endswith(".") for line in listed.values()), "a sentence for each"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("model", "--data", "scans", "--model", "model"),
            "either --data, for a scan of a model, or --model, for one of",
        ),
        (("scans", "--clean", "scans", "--twins", "3"), "--twins must come with a model to scan, got a training set"),
        (("scans", "--parts", "9"), "--parts must come with clean sets (--clean), got none"),
        (
            ("scans", "--clean", "scans", *SPECTRUM),
            "clean sets must have no image of the suspected one, got 24 that it has",
        ),
        (
            ("model", "--data", "scans", "--clean", "scans"),
            "--clean must come with a training set to scan, got a model",
        ),
        (("model", "--data", "scans", "--draws", "9"), "--draws must come with a training set to scan, got a model"),
        (("scans", "--model", "model", "--twins", "3"), "--twins must come with a model to scan, got a training set"),
        (("scans", "--trigger", "patch", "--power", "0.5"), "--power and --trigger must come with clean sets"),
        (("model", "--data", "scans", "--infected", "3"), "--infected must come with --trigger or --plan, got neither"),
        (("model", "--data", "scans", "--poison-rate", "0.2"), "--poison-rate must come with --trigger, got none"),
        (
            ("model", "--data", "scans", "--target", "light"),
            "--target must come with --trigger, got neither a trigger nor",
        ),
        (
            ("model", "--data", "scans", "--trigger", "patch", "--target", "light"),
            "--trigger must come with --twins, got none",
        ),
        (("model", "--data", "scans", "--training", "training.yaml"), "--training must come with --twins, got none"),
        (("model", "--twins", "3"), "model.yaml must say how the model was trained, got nothing"),
        (("model", *TWINS), "twins must be given what they learn from (--data), got nothing"),
        (
            ("model", "--data", "scans", "--null", "no.json"),
            "null must be a file such as RUN/null.json, and no.json is",
        ),
        (("model", "--data", "scans", "--scanner", "mmbd"), "got 'mmbd', did you mean 'mm-bd'?"),
        (
            ("model", "--data", "scans", "--scanner", "mm-bd:steps"),
            "a setting of a scanner must be NAME=VALUE, got 'steps'",
        ),
        (("model", "--scanner", "mm-bd,mm-bd"), "scanner mm-bd must be named once, got it twice"),
        (("model", "--data", "scans", "--rate", "0.7"), "rate must lie in (0, 0.5], got 0.7"),
        (("scans", "--scanner", "beatrix"), "beatrix must be given the model that was trained on the set (--model)"),
        (("scans", "--mean", "0.5"), "--mean must come with a model (--model), got none"),
        (("nowhere",), "that exists, phantom:NAME or COLLECTION:PATH; got 'nowhere'"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(given, words, message):
    found = call("scan", *words, "--out", "never", cwd=given, expect=2)
    assert message in found.stderr
    assert found.stderr.startswith("aseptic: ")
    assert found.stderr.count("\n") == 1
    assert not (given / "never").exists()


def test_an_unknown_training_setting_is_refused(given):
    (given / "odd.yaml").write_text("epoch: 1\n")
    words = ("scan", "model", "--data", "scans", "--twins", "1", "--training", "odd.yaml", "--out", "never")
    found = call(*words, cwd=given, expect=2)
    assert "got 'epoch', did you mean 'epochs'?" in found.stderr
