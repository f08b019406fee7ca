"""``aseptic study`` as a user calls it: what there is, what it needs, a run, its exit codes."""

from dataclasses import replace

import coin_study
import pytest
from calling import call
from coin_study import STUDY

from aseptic.cli import study as command
from aseptic.studies.catalogue import STUDIES

BROKEN = replace(
    STUDY,
    name="broken1654",
    cells=lambda setup: [replace(one, config={**one.config, "flips": 0}) for one in coin_study.cells(setup)],
)


@pytest.fixture(autouse=True)
def catalogue(monkeypatch):
    monkeypatch.setitem(STUDIES.table, "coins1654", "coin_study:STUDY")
    monkeypatch.setitem(STUDIES.table, "broken1654", f"{__name__}:BROKEN")


def test_list_names_study_scales_and_paper():
    lines = call("study", "list").stdout.splitlines()
    line = next(line for line in lines if line.startswith("coins1654"))
    assert line.split("  ", 1)[1].strip().startswith("smoke, desk")
    assert "https://example.org/coins  Pascal and Fermat" in line
    assert len(lines) == len(STUDIES.names())


def test_show_says_what_is_claimed_and_needed():
    said = call("study", "show", "coins1654").stdout
    for wanted in (
        'biased: "The biased coin lands heads almost always" (abstract [PAPER abstract], published 0.9)',
        "heads.0.9, heads.0.1 must be at least 0.7",
        "1g-1: The released code counts edges as heads",
        "Scale smoke: a second.",
        "--data coins=PATH: a folder of pictures of coins",
        "departs: The coins are phantoms.",
        "claim order is not testable: phantom coins have no bias of their own",
    ):
        assert wanted in said


def test_run_leaves_both_pages_and_says_how_claims_ended(tmp_path):
    plan = call("study", "run", "coins1654", "--out", tmp_path / "run", "--dry-run").stdout
    assert "flips/0.1            about 6.0 s" in plan
    assert "3 cells, about 0.3 minutes in all" in plan
    assert not (tmp_path / "run").exists()
    found = call("study", "run", "coins1654", "--scale", "smoke", "--seed", 5, "--out", tmp_path / "run")
    assert 'held: "The biased coin lands heads almost always": the interval [82.6, 94.5] %' in found.stdout
    assert "done flips/0.5" in found.stderr
    assert {"report.html", "study.md", "results.json"} <= {path.name for path in (tmp_path / "run").iterdir()}
    page = (tmp_path / "run" / "report.html").read_bytes()
    assert b"--seed 5" in page
    (tmp_path / "run" / "report.html").unlink()
    call("report", tmp_path / "run")
    assert (tmp_path / "run" / "report.html").read_bytes() == page
    assert "already holds a run" in call("study", "run", "coins1654", "--out", tmp_path / "run", expect=2).stderr
    again = call("study", "run", "coins1654", "--seed", 5, "--out", tmp_path / "run", "--resume")
    assert "reused flips/0.5" in again.stderr


def test_what_failed_inside_ends_with_3(tmp_path):
    found = call("study", "run", "broken1654", "--out", tmp_path, expect=3)
    assert "failed: flips/0.1: ValueError: no flips" in found.stdout
    assert 'not testable: "One is fair": heads.0.5 is not known' in found.stdout
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "coins1655"), "study must be one of broken1654, coins1654"),
        (("show", "coins1655"), "got 'coins1655', did you mean 'coins1654'?"),
        (("run", "coins1654", "--scale", "desk"), "needs --data coins=PATH, a folder of pictures of coins; got none"),
        (("run", "coins1654", "--scale", "desk", "--data", "coins=/no/such"), "that is there, got '/no/such'"),
        (("run", "coins1654", "--scale", "paper"), "scale of coins1654 must be one of smoke, desk; got 'paper'"),
        (("run", "coins1654", "--data", "coins"), "data must be NAME=PATH, got 'coins'"),
        (("run", "coins1654", "--data", "=a"), "data must be NAME=PATH, got '=a'"),
        (("run", "coins1654", "--data", "a=b", "--data", "a=c"), "data a must be given once, got 'b' and 'c'"),
        (("run", "coins1654", "--device", "tpu"), "device must be cpu or a CUDA device of this machine, got 'tpu'"),
    ],
)
def test_bad_input_of_a_study_is_one_sentence_and_exit_2(tmp_path, words, message):
    out = ("--out", tmp_path / "run") if words[0] == "run" else ()
    found = call("study", *words, *out, expect=2)
    assert message in found.stderr
    assert found.stderr.startswith("aseptic: ")
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_paths_may_hold_an_equals_sign():
    assert command.named(["masks=/data/fold=1/masks.csv"]) == {"masks": "/data/fold=1/masks.csv"}
