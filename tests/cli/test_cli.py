"""The command line as a user calls it: exit codes, one sentence for bad input, gates, resume."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from calling import call, write_images
from PIL import Image
from torch import nn

from aseptic.cli import gates
from aseptic.core.errors import InputError
from aseptic.core.numbers import level
from aseptic.core.record import Finding


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "model"
    call("train", data, "--arch", "aseptic:smallcnn", "--size", "24", "--epochs", "4", "--lr", "5e-3", "--out", out)
    return out


QUICK = ("--eps", "1/255,8/255", "--reference", "8/255", "--steps", "4")


@pytest.fixture(scope="module")
def run(data, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    call("audit", model, "--data", data, "--out", out, *QUICK)
    return out


def test_help_does_not_import_torch():
    code = (
        "import sys; from aseptic.cli.main import app; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_alone_does_not_import_torch():
    code = "import sys, aseptic; assert 'torch' not in sys.modules; aseptic.Threat; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_version():
    assert re.fullmatch(r"aseptic \d+\.\d+\.\d+\n", call("--version").stdout)


def test_train_states_what_it_reached(data, model):
    assert {path.name for path in model.iterdir()} >= {"model.yaml", "model.safetensors", "history.csv"}
    again = call(
        "train", data, "--arch", "aseptic:smallcnn", "--size", "24", "--epochs", "4", "--lr", "5e-3", "--out", model,
        "--resume",
    )  # fmt: skip
    assert "test auroc_macro" in again.stdout


def test_audit_leaves_a_page_and_a_record(run):
    record = json.loads((run / "results.json").read_text())
    assert record["failed"] == []
    assert record["data"]["n_used"] == 20
    assert record["command"][:2] == ["aseptic", "audit"]
    assert "<title>" in (run / "report.html").read_text()


def test_report_is_rebuilt_from_the_rows(run):
    first = (run / "report.html").read_text()
    (run / "report.html").unlink()
    call("report", run)
    assert (run / "report.html").read_text() == first


def test_a_folder_with_a_run_needs_resume(data, model, run):
    found = call("audit", model, "--data", data, "--out", run, *QUICK, expect=2)
    assert "already holds a run" in found.stderr


@pytest.mark.parametrize(("gate", "code"), [("info", 1), ("curve.pgd.accuracy@8>=0", 1), ("curve.pgd.accuracy@8<0", 0)])
def test_gates_decide_the_exit_code(data, model, run, gate, code):
    found = call("audit", model, "--data", data, "--out", run, *QUICK, "--resume", "--fail-on", gate, expect=code)
    assert ("gate crossed" in found.stdout) == (code == 1)


def test_dry_run_computes_nothing(data, model, tmp_path):
    found = call("audit", model, "--data", data, "--out", tmp_path / "none", "--dry-run")
    assert "minutes in all" in found.stdout
    assert not (tmp_path / "none").exists()


def accuracy(run):
    findings = json.loads((run / "results.json").read_text())["findings"]
    return next(one["value"] for one in findings if one["id"] == "clean.accuracy")


def test_attack_writes_a_data_set_that_is_attacked(data, model, run, tmp_path):
    out = tmp_path / "attacked"
    found = call("attack", model, "--data", data, "--attack", "pgd", "--eps", "8/255", "--out", out)
    assert "20 images written" in found.stdout
    lines = (out / "manifest.csv").read_text().splitlines()
    assert len(lines) == 21
    before, after = (np.asarray(Image.open(folder / "040.png")).astype(int) for folder in (data, out))
    assert 0 < np.abs(after - before).max() <= 8
    again = call("attack", model, "--data", data, "--eps", "8/255", "--out", out, "--resume")
    assert "20 images written" in again.stdout
    assert (out / "manifest.csv").read_text().splitlines() == lines
    call("audit", model, "--data", out, "--out", tmp_path / "of attacked", *QUICK)
    clean, attacked = (accuracy(path) for path in (run, tmp_path / "of attacked"))
    assert attacked < clean, "what was written is what the attack made"


@pytest.mark.parametrize(
    ("attack", "interface"),
    [("square", "scores:3"), ("hopskipjump", "label"), ("hopskipjump", "flag:light:0.4"), ("autoattack", "gradients")],
)
def test_attack_asks_through_an_interface_and_counts(data, model, tmp_path, attack, interface):
    out, words = tmp_path / "attacked", ("--attack", attack, "--interface", interface, "--queries", "40")
    few = ("--steps", "2") if attack == "autoattack" else ()
    call("attack", model, "--data", data, "--limit", "4", *words, *few, "--eps", "2/255", "--out", out)
    with (out / "manifest.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 4
    asked = [float(row["queries"]) for row in rows if row["queries"]]
    assert asked or attack == "autoattack"
    assert all(one <= 40 or one == float("inf") for one in asked)
    assert all(row["success"] == "1" for row in rows if row["queries"] not in {"", "inf"})
    refused = call("attack", model, "--data", data, "--out", out, "--resume", expect=2)
    assert "--resume needs the same request, got another attack" in refused.stderr


def test_attack_says_how_far_it_is(data, model, tmp_path, monkeypatch):
    monkeypatch.setattr("aseptic.cli.watch.EVERY", 0.0)
    words = ("attack", model, "--data", data, "--limit", "6", "--attack", "autoattack", "--batch-size", "3")
    found = call(*words, "--steps", "2", "--queries", "5", "--eps", "1/255", "--out", tmp_path / "attacked")
    lines = re.findall(r"^(\d) of (\d) images, (?:(.*) on .*, )?(\d+) passes, \d+ s$", found.stderr, re.MULTILINE)
    assert {line[1] for line in lines} == {"6"}
    assert [int(line[0]) for line in lines] == sorted(int(line[0]) for line in lines)
    assert [int(line[3]) for line in lines] == sorted(int(line[3]) for line in lines)
    assert lines[-1][0] == "6"
    assert {line[2] for line in lines} <= {"", "apgd-ce", "apgd-t", "fab-t", "square"}
    assert len({line[2] for line in lines}) > 1


def test_unreadable_files_are_named_and_kept_out(data, model, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "set"))
    (copy / "050.png").write_bytes((copy / "050.png").read_bytes()[:90])
    (copy / "051.png").write_text("not an image")
    found = call("audit", model, "--data", copy, "--out", tmp_path / "run", *QUICK)
    assert "050.png" in found.stderr
    assert "051.png" in found.stderr
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["data"]["n_used"] == 18
    assert {one["file"] for one in record["data"]["unreadable"]} == {"050.png", "051.png"}
    refused = call("audit", model, "--data", copy, "--out", tmp_path / "other", *QUICK, "--max-bad", "1", expect=2)
    assert "max_bad allows 1 unreadable files, got 2" in refused.stderr


def test_a_network_that_ends_in_a_softmax_needs_its_word(data, tmp_path):
    net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(9, 2), nn.Softmax(1))
    net[2].weight.data = 40 * torch.eye(2, 9).flip(0)
    file = tmp_path / "net.pt"
    torch.save(net, file)
    words = ("audit", file, "--data", data, "--trust-code", "--task", "multiclass", "--classes", "dark,light")
    words = (*words, "--size", "24", "--channels", "1", "--out", tmp_path / "run", *QUICK)
    refused = call(*words, expect=2)
    assert "--outputs probabilities" in refused.stderr
    call(*words, "--outputs", "probabilities")
    assert (tmp_path / "run" / "report.html").is_file()


def test_volumes_for_a_flat_model_are_told_of_slices(model, tmp_path):
    for name in "ab":
        nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / f"{name}.nii")
    found = call("audit", model, "--data", tmp_path, "--out", tmp_path / "run", expect=2)
    assert "got none of 2. a.nii: size must have 3 space axes" in found.stderr
    assert "volumes can be cut into slices (2 in all)" in found.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("audit", "nowhere", "--data", "DATA", "--out", "x"), "nowhere"),
        (("audit", "MODEL", "--data", "nowhere", "--out", "x"), "got 'nowhere'"),
        (("audit", "MODEL", "--data", "DATA", "--out", "x", "--attacks", "pdg"), "did you mean 'pgd'"),
        (("audit", "MODEL", "--data", "DATA", "--out", "x", "--eps", "two"), "eps must be a number or a fraction"),
        (("audit", "MODEL", "--data", "DATA", "--out", "x", "--eps", "0"), "eps must lie above 0"),
        (
            ("audit", "MODEL", "--data", "DATA", "--out", "x", "--split", "tset"),
            "split must be one of test, train, val",
        ),
        (
            ("audit", "MODEL", "--data", "DATA", "--out", "x", "--goal", "reach:grey"),
            "class must be one of dark, light",
        ),
        (("audit", "MODEL", "--data", "DATA", "--out", "x", "--outputs", "odds"), "not one of 'logits'"),
        (("audit", "MODEL", "--data", "DATA", "--out", "x", "--goal", "hide"), "goal of a multiclass model must be"),
        (("audit", "MODEL", "--data", "DATA", "--out", "x", "--device", "tpu9"), "device must be cpu or a CUDA device"),
        (("audit", "MODEL", "--data", "DATA", "--out", "x", "--fail-on", "hihg"), "fail-on must be one of"),
        (("audit", "MODEL", "--data", "DATA", "--out", "x", "--colour", "red"), "No such option"),
        (("train", "DATA", "--arch", "timm:resnet81", "--out", "x"), "resnet18"),
        (("train", "DATA", "--arch", "aseptic:smallcnn", "--out", "x", "--epochs", "0"), "epochs"),
        (("attack", "MODEL", "--data", "DATA", "--out", "x", "--norm", "l3"), "norm must be one of"),
        (
            ("attack", "MODEL", "--data", "DATA", "--out", "x", "--interface", "sight"),
            "label, flag:NAME or flag:NAME:THRESHOLD; got 'sight'",
        ),
        (
            ("attack", "MODEL", "--data", "DATA", "--out", "x", "--interface", "scores:2"),
            "PGD needs gradients, got an attacker who sees scores to 2 decimals",
        ),
        (
            ("attack", "MODEL", "--data", "DATA", "--out", "x", "--attack", "square", "--interface", "flag:light:high"),
            "interface flag:NAME:THRESHOLD needs a number, got 'flag:light:high'",
        ),
        (
            ("attack", "MODEL", "--data", "DATA", "--out", "x", "--queries", "50"),
            "queries must be left out for pgd, which asks no questions",
        ),
        (("attack", "MODEL", "--data", "DATA", "--out", "x", "--queries", "0"), "'--queries': Input should be greater"),
        (("report", "nowhere"), "run folder must hold results.json"),
        (("list", "attack"), "did you mean 'attacks'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(data, model, tmp_path, words, message):
    given = [{"DATA": data, "MODEL": model}.get(word, word) for word in words]
    found = call(*given, cwd=tmp_path, expect=2)
    assert message in re.sub(r"[\s│]+", " ", found.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["attacks", "archs", "collections", "formats", "triggers"])
def test_list_names_what_there_is(kind):
    names = call("list", kind).stdout.split("\n")
    wanted = {"attacks": "pgd", "archs": "timm:resnet18", "collections": "phantom:cxr3", "formats": "dicom"}
    assert (wanted | {"triggers": "wanet"})[kind] in names


@pytest.mark.parametrize(
    ("kind", "names", "line"),
    [
        ("defences", ["anp", "fine-pruning", "fine-tuning", "i-bau"],
         "fine-tuning   Fine-tuning: training goes on with clean images only."),
        ("detectors", ["frequency", "sentinet", "strip"],
         "strip      STRIP: what carries a trigger is decided alike, whatever shines through it (Gao et al., 2019)."),
    ],
)  # fmt: skip
def test_list_says_what_each_does(kind, names, line):
    lines = call("list", kind).stdout.splitlines()
    assert [one.split(maxsplit=1)[0] for one in lines] == names
    assert line in lines
    assert all(re.fullmatch(r"\S+ +\S.{30,}\.", one) for one in lines), "a sentence for each"


def stamps(out):
    return {path.parent.name: path.stat().st_mtime_ns for path in (out / "cells").glob("[0-9a-f]*/cell.json")}


def test_a_killed_audit_resumes_to_the_same_findings(data, model, run, tmp_path):
    out = tmp_path / "killed"
    words = [sys.executable, "-m", "aseptic", "audit", str(model), "--data", str(data), "--out", str(out), *QUICK]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("done fgsm/"):
                break
        os.kill(process.pid, signal.SIGKILL)
    finished = stamps(out)
    assert not (out / "results.json").exists()
    time.sleep(0.01)
    found = call(*words[3:], "--resume")
    assert "reused fgsm/0" in found.stderr
    assert stamps(out).items() >= finished.items(), "what was finished is not written again"
    both = [json.loads((folder / "results.json").read_text())["findings"] for folder in (out, run)]
    assert both[0] == both[1]
    assert "reused fgsm/0" in (out / "log.txt").read_text()


@pytest.mark.parametrize(("text", "value"), [("2/255", 2 / 255), ("0.01", 0.01), ("1", 1.0), (" 1/4 ", 0.25)])
def test_levels(text, value):
    assert level(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["-1/255", "1/0", "nan", "a"])
def test_levels_that_mean_nothing(text):
    with pytest.raises(InputError, match="eps must be"):
        level(text)


def finding(name, value, severity="info"):
    return Finding(id=name, title=name, method="m", metric="x", value=value, severity=severity)


def test_gates():
    found = [finding("a", 0.4), finding("b", None), finding("c", 0.9, "medium")]
    assert gates.crossed(gates.parse("a<0.5"), found)
    assert not gates.crossed(gates.parse("a < 0.4"), found)
    assert gates.crossed(gates.parse("a<=0.4"), found)
    assert gates.crossed(gates.parse("b>0.5"), found), "what could not be measured does not pass"
    assert gates.crossed(gates.parse("medium"), found)
    assert not gates.crossed(gates.parse("high"), found)
    with pytest.raises(InputError, match=r"fail-on must name a finding such as a, c; got 'd'"):
        gates.crossed(gates.parse("d>1"), found)
