"""The page of a scan: the answer, the evidence, what it does not say; the same folder gives the same bytes."""

import re

import pytest
from PIL import Image
from reading import read

from aseptic.core.record import Results, Skipped, read_results, write_results
from aseptic.report import build
from aseptic.scanners.calibration import Null
from aseptic.studies.scan.judging import found_by, judged, verdict
from aseptic.studies.scan.set_judging import set_findings, set_verdict

SCANNER = {"name": "neural-cleanse", "rounds": 100}
HOSTILE = '<script>alert("x")</script>'


def told(**more):
    return {
        "scanner": SCANNER,
        "outputs": ["normal", HOSTILE, "covid"],
        "statistic": -0.01,
        "target": "covid",
        "scores": [-0.3, None, -0.01],
        "index": [None, None, None],
        "reached": [0.99, None, 1.0],
        "forwards": 10,
        "backwards": 10,
        "seconds": 75.0,
        "notes": [],
        "pictures": {"covid": {"picture": "figures/p.png", "mask": "figures/m.png", "factor": 12}},
        **more,
    }


def suspect(number):
    return {"id": f"scan-{number}", "label": "covid", "suspicion": 7.5 - number, "picture": "figures/p.png"}


SET = {
    "scanner": {"name": "spectrum", "bands": 100},
    "statistic": 4.0,
    "groups": [
        {"name": "normal", "images": 40, "statistic": 1.2, "details": {}},
        {"name": "covid", "images": 30, "statistic": 4.0, "details": {"share": 0.2}},
    ],
    "not_looked_at": [],
    "null": [1.0 + number / 100 for number in range(99)],
    "seconds": 2.0,
    "suspicious": [suspect(0), suspect(1)],
}


def written(folder, findings, of, **more):
    (folder / "figures").mkdir(parents=True)
    for name in ("p", "m"):
        Image.new("RGB", (16, 16)).save(folder / "figures" / f"{name}.png")
    fields = {
        "aseptic_version": "0",
        "created": "2026-01-01T00:00:00Z",
        "command": ["aseptic", "scan", "model"],
        "config": {"scan": of},
        "environment": {"torch": "2"},
        "model": {"name": "resnet", "classes": ["normal", HOSTILE, "covid"], "task": "multiclass"},
        "data": {"name": "scans", "n": 64, "n_used": 64},
        "findings": findings,
        "skipped": [],
        "failed": [],
        "timings": {"neural-cleanse/model": 75.0},
    }
    write_results(Results.model_validate({**fields, **more}), folder)
    return folder


@pytest.fixture
def model_run(tmp_path):
    null = Null(
        scanner=SCANNER,
        clean={f"clean/{number}": -0.2 - number / 100 for number in range(19)},
        infected={"patch": {"patch/0": -0.02, "patch/1": -0.6}},
    )
    one = judged(told(), null, rate=0.05, power=0.8)
    findings = [verdict({one.name: one.verdict}, 0.05, 1), *found_by(one)]
    gap = Skipped(id="scan.mm-bd", title="The scanner mm-bd", reason="it needs something")
    return written(tmp_path / "run", findings, "model", skipped=[gap])


@pytest.fixture
def set_run(tmp_path):
    findings = [set_verdict({"spectrum": SET}, 0.05, 0.05, 1), *set_findings("spectrum", SET, 0.05)]
    return written(tmp_path / "run", findings, "set", model={}, data={"name": "train", "n_used": 70, "classes": ["a"]})


def text(page):
    return re.sub(r"\s+", " ", " ".join(read(page).text))


def test_the_page_of_a_model_has_answer_evidence_and_gaps(model_run):
    page = build(model_run)
    said, found = text(page), read(page)
    for wanted in (
        "Infected",
        "This model looks infected",
        "p = 0.05",
        "1 min 15 s",
        "50.0 %",
        "covid: where (white: covered)",
        "amplified 12 times",
        "it needs something",
        "not meaningful",
        "Every scanner is blind to whole families",
        "aseptic scan model",
    ):
        assert wanted in said, wanted
    assert "Statistic of neural-cleanse: -0.01. clean twins: 19 from -0.38 to -0.2; infected: patch: 2" in " ".join(
        found.values("aria-label")
    )
    assert len([one for one in found.values("src") if one.startswith("data:image/png")]) == 2
    assert HOSTILE not in page.read_text("utf-8")
    ids = {one.id for one in read_results(model_run).findings}
    assert set(found.values("data-finding")) <= ids
    assert (model_run / "figures" / "neural-cleanse.svg").is_file()


def test_the_page_of_a_set_names_the_images(set_run):
    said = text(build(set_run))
    for wanted in (
        "A class of this training set stands out",
        "0 of 99 sets with permuted labels come up to it",
        "covid, suspicion 7.5; scan-0",
        "What each scanner says",
        "No model was given.",
        "how much poison would have been found",
    ):
        assert wanted in said, wanted
    assert "twins" not in said


def test_the_same_folder_gives_the_same_bytes_and_loads_nothing(model_run):
    first = build(model_run).read_bytes()
    assert build(model_run).read_bytes() == first
    assert not re.search(rb"https?://(?!www\.w3\.org/)", first)


def test_a_run_that_came_to_nothing_says_so(tmp_path):
    failed = {"id": "mm-bd/model", "title": "mm-bd/model", "reason": "out of memory", "traceback": ""}
    said = text(build(written(tmp_path / "run", [], "model", failed=[failed])))
    assert "No scanner came to an end." in said
    assert "out of memory" in said
    assert "No verdict" in said
