"""``aseptic audit`` with a suspected trigger, as a user calls it."""

import json

import pytest
from calling import CLASSES, call, write_images

from aseptic.models.save import save_model
from aseptic.models.training import new_subject
from aseptic.scanners import Null, make_scanner, write_null

QUICK = ("--attacks", "fgsm", "--eps", "2/255")
TRIGGER = ("--trigger", "patch:size=3,value=250/255")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Return images, a model that learnt nothing, and a plan that was made for another set."""
    root = tmp_path_factory.mktemp("given")
    write_images(root / "scans", count=30)
    save_model(new_subject("aseptic:smallcnn", task="multiclass", classes=CLASSES, size=24, channels=1), root / "model")
    call("poison", root / "scans", *TRIGGER, "--target", "light", "--rate", "0.5", "--out", root / "poisoned")
    return root


@pytest.fixture(scope="module")
def run(given, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    said = call(
        "audit", given / "model", "--data", given / "scans", *QUICK, *TRIGGER, "--target", "light", "--out", out
    )
    return out, said.stdout


def findings(out):
    found = json.loads((out / "results.json").read_text())["findings"]
    return {one["id"]: one for one in found}


def test_the_verdict_says_what_the_trigger_does(run):
    out, said = run
    assert "ith the trigger (patch of 3 pixels), " in said
    assert "answered as light" in said
    assert {"infection.excess", "infection.success", "infection.before_other"} <= set(findings(out))
    assert 'id="infection"' in (out / "report.html").read_text()
    assert json.loads((out / "results.json").read_text())["config"]["settings"]["plan"]["label"]["target"] == "light"


def test_a_plan_asks_the_same(given, run, tmp_path):
    out = tmp_path / "run"
    plan = ("--plan", given / "poisoned" / "plan.yaml")
    call("audit", given / "model", "--data", given / "scans", *QUICK, *plan, "--out", out)
    same = [{name: one for name, one in findings(folder).items() if "infection" in name} for folder in (out, run[0])]
    assert same[0] == same[1]


def test_a_structure_is_asked_about(tmp_path):
    names = ("background", "kidney", "tumour")
    made = new_subject("monai:unet?width=4&depth=2", task="segmentation", classes=names, size=16, channels=1)
    save_model(made, tmp_path / "model")
    rule = ("--trigger", "patch:size=3,value=1", "--rule", "relabel", "--source", "tumour", "--target", "kidney")
    data = ("--data", "phantom:kidney?n=12&size=32", "--overlap", "0.6", "--confidence", "0.3")
    said = call("audit", tmp_path / "model", *data, *QUICK, *rule, "--out", tmp_path / "run").stdout
    assert "of the places of tumour in " in said
    assert {"infection.excess", "infection.source_dice_clean", "infection.clean_dice"} <= set(
        findings(tmp_path / "run")
    )
    settings = json.loads((tmp_path / "run" / "results.json").read_text())["config"]["settings"]
    assert settings["plan"]["label"] == {"rule": "relabel", "target": "kidney", "by": 1, "source": "tumour"}
    assert (settings["overlap"], settings["confidence"]) == (0.6, 0.3)
    other = ("--trigger", "patch", "--rule", "erase", "--source", "tumor", "--out", tmp_path / "no")
    assert (
        "got 'tumor', did you mean 'tumour'"
        in call("audit", tmp_path / "model", *data, *QUICK, *other, expect=2).stderr
    )


@pytest.mark.parametrize(("limit", "code"), [("infection.excess>=-1", 1), ("infection.excess>1", 0)])
def test_gates_take_numbers_of_the_trigger(given, run, limit, code):
    words = (*QUICK, *TRIGGER, "--target", "light", "--out", run[0], "--resume", "--fail-on", limit)
    found = call("audit", given / "model", "--data", given / "scans", *words, expect=code)
    assert ("gate crossed" in found.stdout) == (code == 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "dark"], "--target must come with --trigger, got neither a trigger nor a plan"),
        (["--source", "dark"], "--source must come with --trigger, got neither a trigger nor a plan"),
        (["--rule", "shift", "--insert", "network"], "--rule and --insert must come with --trigger, got neither"),
        ([*TRIGGER, "--target", "dark", "--plan", "PLAN"], "either --trigger or --plan must be given, and not both"),
        (["--plan", "PLAN", "--target", "dark"], "--target must come with --trigger, got a plan, which says it itself"),
        (["--plan", "absent.yaml"], "absent.yaml cannot be read"),
        (["--trigger", "pach", "--target", "dark"], "did you mean 'patch'"),
        ([*TRIGGER], "labels by rule to need a target"),
        ([*TRIGGER, "--target", "darc"], "class must be one of dark, light; got 'darc'"),
        ([*TRIGGER, "--target", "dark", "--rule", "set"], "the label rule of a multiclass set must be one of to"),
        (["--trigger", "patch:size=99", "--target", "dark"], "size must be at most the image's [24, 24], got [99, 99]"),
    ],
)
def test_bad_input_ends_in_one_sentence(given, tmp_path, words, message):
    given_words = [given / "poisoned" / "plan.yaml" if word == "PLAN" else word for word in words]
    out = tmp_path / "run"
    said = call("audit", given / "model", "--data", given / "scans", *given_words, "--out", out, expect=2).stderr
    assert message in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_scan_beside_the_attacks(given, tmp_path):
    words = ("audit", given / "model", "--data", given / "scans", *QUICK)
    scanner = ("--scanner", "mm-bd:starts=1,steps=2")
    planned = call(*words, *scanner, "--out", tmp_path / "run", "--dry-run")
    assert "mm-bd/model" in planned.stdout
    assert planned.stderr == "note: mm-bd will not be able to tell: there are no twins to compare with\n"
    found = call(*words, *scanner, "--out", tmp_path / "run", "--fail-on", "scan.verdict>0", expect=1)
    assert "The scan for backdoors that nobody has named: it cannot be told" in found.stdout
    assert found.stdout.endswith("gate crossed: scan.verdict>0\n"), "what cannot be told crosses every gate"
    assert 'id="scan"' in (tmp_path / "run" / "report.html").read_text()
    config = json.loads((tmp_path / "run" / "results.json").read_text())["config"]
    assert config["settings"]["scan"]["scanners"] == {"mm-bd": {"starts": 1, "steps": 2}}
    null = Null(
        scanner=make_scanner("mm-bd", starts=1, steps=2).describe(),
        clean={f"clean/{number}": -1e9 for number in range(19)},
        facts={"images": 5, "seed": 3},
    )
    write_null(null, tmp_path / "null.json")
    told = call(*words, "--null", tmp_path / "null.json", "--out", tmp_path / "run", "--resume")
    verdict = findings(tmp_path / "run")["scan.verdict"]
    assert (verdict["args"]["answer"], verdict["severity"]) == ("infected", "high")
    assert "This model looks infected" in told.stdout.replace("this model", "This model")
    config = json.loads((tmp_path / "run" / "results.json").read_text())["config"]
    assert (config["settings"]["scan"]["images"], config["settings"]["scan"]["seed"]) == (5, 3)
    assert config["null"] == str(tmp_path / "null.json")


def test_scans_that_make_no_sense_are_refused(given, tmp_path):
    words = ("audit", given / "model", "--data", given / "scans", *QUICK, "--out", tmp_path / "never")
    both = call(*words, "--scan", "--scanner", "mm-bd", expect=2)
    assert "either --scan, for every scanner, or --scanner, for some, must be given, got both" in both.stderr
    assert "null must be a file such as RUN/null.json" in call(*words, "--null", "no.json", expect=2).stderr
    assert not (tmp_path / "never").exists()
