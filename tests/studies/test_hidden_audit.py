"""An audit that looks for a backdoor that nobody has named, on a network whose backdoor is made by hand."""

import json
import re

import pyarrow.parquet as pq
import pytest
from planted_backdoor import CLASSES, SIDE, plan, planted, scans
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.record import finding
from aseptic.models.subject import Subject
from aseptic.report.page import build
from aseptic.scanners.base import ModelScanner
from aseptic.scanners.calibration import Null
from aseptic.scanners.catalogue import make_scanner
from aseptic.studies.audit import cells
from aseptic.studies.audit.grid import scan_of
from aseptic.studies.audit.pairing import Pair
from aseptic.studies.audit.run import audit, dry_run, prepare
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.audit.suspicion import NOT_ATTACKED, hidden, joined
from aseptic.studies.audit.verdict import not_scanned
from aseptic.studies.scan.cells import drawn, shown_key
from aseptic.studies.scan.judging import TITLES
from aseptic.studies.scan.nulls import NULL_FILE, read_nulls, scanned_as
from aseptic.studies.scan.prepared import OTHER_IMAGES
from aseptic.studies.scan.settings import ScanSettings

MMBD = {"mm-bd": {"starts": 2, "steps": 20}}
CLEANSE = {"neural-cleanse": {"images": 8, "rounds": 10}}


def asking(scanners=MMBD, **more):
    found = {"attacks": ("fgsm",), "grey_levels": (2.0,), "reference": 2.0, "explained": 0, "examples": 0}
    return AuditSettings(**{**found, "scan": ScanSettings(scanners=scanners, images=12), **more})


def null(scanners=MMBD, clean=range(19), *, infected=(), **facts):
    (name, options), *_ = scanners.items()
    one = Null(
        scanner=make_scanner(name, **options).describe(),
        clean={f"clean/{n}": value - 1e4 for n, value in enumerate(clean)},
        infected={"patch": {f"patch/{n}": value for n, value in enumerate(infected)}} if infected else {},
        facts={"images": 12, "seed": 0, **facts},
    )
    return {name: one}


def run(out, settings, *, strength=1000.0, nulls=None, data=None, **options):
    prepared = prepare(planted(strength), data or scans(), settings, nulls=nulls)
    return audit(prepared, out, settings=settings, **options)


def text(page):
    """Return the words of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.read_text("utf-8")))


def by_id(results):
    return {one.id: one for one in results.findings}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    out = tmp_path_factory.mktemp("judged") / "run"
    return out, run(out, asking(), nulls=null(infected=[1e9] * 9 + [-1e9]))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    return out, run(out, asking(), strength=0.0)


def test_a_planted_backdoor_is_found_with_twins(judged):
    out, results = judged
    found = by_id(results)
    assert not results.failed
    said = found["scan.verdict"]
    assert (said.args["answer"], said.value, said.severity) == ("infected", 1, "high")
    assert found["scan.mm-bd.p_value"].value == pytest.approx(1 / 20)
    assert found["scan.mm-bd.p_value"].args["target"] == "covid"
    assert found["scan.mm-bd.false_positives"].value == pytest.approx(1 / 20)
    assert found["scan.mm-bd.power:patch"].value == pytest.approx(0.9)
    assert found["scan.mm-bd.seconds"].value > 0
    assert (out / found["scan.mm-bd.score:covid"].args["picture"]).is_file()
    assert len(pq.read_table(out / "rows" / "scan.parquet")) == len(CLASSES)
    assert read_nulls(out / NULL_FILE)["mm-bd"] == null(infected=[1e9] * 9 + [-1e9])["mm-bd"]
    verdict = found["verdict"]
    assert "mm-bd" in verdict.method
    assert TITLES["infected"][1:] in " ".join([verdict.title, *verdict.args["text"]])


def test_the_page_shows_verdict_evidence_rates_and_time(judged):
    out, _ = judged
    page = build(out)
    told, raw = text(page), page.read_text("utf-8")
    for wanted in (
        "Has it been infected?",
        "Infected. This model looks infected",
        "Clean models called infected",
        "5.0 %",
        "patch: 90.0 %",
        "What was recovered",
        "Hidden triggers were looked for by scanners",
        "The backdoor: whoever trained the model",
    ):
        assert wanted in told, wanted
    assert "The model was compared with no twins" not in told
    assert "clean twins: 19 from" in raw
    assert (out / "figures" / "mm-bd.svg").is_file()
    assert raw.index('id="attack"') < raw.index('id="scan"') < raw.index('id="clean"')
    assert build(out).read_text("utf-8") == raw


def test_without_twins_a_clean_model_cannot_be_told(alone):
    out, results = alone
    found = by_id(results)
    said = found["scan.verdict"]
    assert (said.args["answer"], said.value, said.severity) == ("cannot tell", None, "info")
    assert found["scan.mm-bd.p_value"].value is None
    assert "fool this model" in found["verdict"].title
    assert found["verdict"].args["text"][-1] == (
        "The scan for backdoors that nobody has named: it cannot be told whether this model carries a backdoor."
    )
    assert [one.id for one in results.skipped if one.id in {"backdoor", "training-set"}] == ["training-set"]
    told = text(build(out))
    assert "Cannot tell. It cannot be told whether this model carries a backdoor." in told
    assert "The model was compared with no twins" in told
    assert "What was recovered" in told
    assert not (out / NULL_FILE).exists()


def test_a_resumed_run_scans_nothing_twice(alone):
    out, results = alone
    settings = asking()
    prepared = prepare(planted(0.0), scans(), settings)
    lines = dry_run(prepared[1], out)
    assert {line.stored for line in lines} == {True}
    (scanned,) = [line.cell for line in lines if line.cell.name == "mm-bd/model"]
    assert scanned.estimate > 0
    told = []
    again = audit(prepared, out, settings=settings, resume=True, watch=lambda one: told.append(one.state))
    assert set(told) == {"reused"}
    assert again.findings == results.findings


def test_a_scan_is_judged_anew_without_being_run_anew(alone, monkeypatch):
    """Twins that come later change the answer, not the cells."""
    monkeypatch.setattr(ModelScanner, "scan", None)
    settings = asking()
    nulls = null(clean=[2e4] * 19, infected=[1e9] * 10)
    results = run(alone[0], settings, strength=0.0, nulls=nulls, resume=True)
    said = by_id(results)["scan.verdict"]
    assert (said.args["answer"], said.value) == ("clean", 0)
    assert "No sign of a backdoor" not in by_id(results)["verdict"].title


def test_an_audit_without_a_scan_says_how_to_get_one(tmp_path):
    results = run(tmp_path, asking(scan=None))
    (said,) = [one for one in results.skipped if one.id == "backdoor"]
    assert said == not_scanned(tried=False, served=True)
    assert "(--scan)" in said.reason
    assert 'id="scan"' not in build(tmp_path).read_text("utf-8")
    assert "and scanners serve models of classes" in not_scanned(tried=True, served=False).reason
    assert not_scanned(tried=True, served=True).title == "Is the model infected with another trigger?"


def test_a_suspected_trigger_and_a_scan_share_the_verdict(tmp_path):
    results = run(tmp_path, asking(plan=plan()), nulls=null())
    found = by_id(results)
    assert found["verdict"].title == "This model carries the suspected backdoor."
    lines = found["verdict"].args["text"]
    assert any(line.startswith("The scan for backdoors that nobody has named: this model looks inf") for line in lines)
    assert found["verdict"].method.count(";") == 2


def test_attacks_that_fail_do_not_hide_what_scanners_find(tmp_path, monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(cells, "make_attack", broken)
    verdict = by_id(run(tmp_path, asking(), nulls=null()))["verdict"]
    assert (verdict.title, verdict.severity) == (TITLES["infected"], "high")
    assert verdict.args["text"][-1] == NOT_ATTACKED


def test_a_scan_that_fails_is_failed_and_the_rest_goes_on(tmp_path, monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(ModelScanner, "scan", broken)
    results = run(tmp_path, asking())
    assert [one.id for one in results.failed] == ["mm-bd/model"]
    assert not any(one.id.startswith("scan.") for one in results.findings)
    assert "fool this model" in by_id(results)["verdict"].title


@pytest.mark.parametrize(
    ("before", "answer", "title", "severity"),
    [
        ("critical", "infected", "Attacks.", "critical"),
        ("high", "infected", TITLES["infected"], "high"),
        ("low", "infected", TITLES["infected"], "high"),
        ("info", "clean", "Attacks.", "info"),
        (None, "cannot tell", NOT_ATTACKED, "info"),
    ],
)
def test_the_worse_stands_first(before, answer, title, severity):
    severities = {"infected": "high", "clean": "low", "cannot tell": "info"}
    args = {"answer": answer, "text": ["mm-bd: said."]}
    said = finding(
        "scan.verdict", TITLES[answer], method="scan", metric="answer", args=args, severity=severities[answer]
    )
    first = None
    if before is not None:
        first = finding("verdict", "Attacks.", method="m", metric="turned", args={"text": ["One."]}, severity=before)
    found = joined(first, hidden([said]))
    assert (found.title, found.severity) == (title, severity)
    assert joined(first, hidden([])) is first


def test_twins_that_saw_other_images_are_told(tmp_path):
    data = scans()
    settings, key = asking(CLEANSE), shown_key(drawn(data, 12, 0))
    same = prepare(planted(), data, settings, nulls=null(CLEANSE, shown=key))[1].scan
    assert same.odd == {}
    other = prepare(planted(), data, settings, nulls=null(CLEANSE, shown="0"))[1].scan
    assert other.warnings(settings.scan) == (f"neural-cleanse: {OTHER_IMAGES}",)
    assert prepare(planted(), data, asking(), nulls=null(shown="0"))[1].scan.odd == {}, "mm-bd looks at no images"
    results = run(tmp_path, settings, nulls=null(CLEANSE, shown="0"))
    assert "other images than the model" in by_id(results)["scan.neural-cleanse.p_value"].args["sentences"][-1]


def test_a_model_is_scanned_as_its_twins_were():
    one = null()
    assert scanned_as(one)["images"] == 12
    asked = ScanSettings(**scanned_as(one))
    assert make_scanner("mm-bd", **asked.scanners["mm-bd"]).describe() == one["mm-bd"].scanner
    assert json.loads(asked.model_dump_json())["seed"] == 0


@pytest.mark.parametrize(
    ("settings", "nulls", "message"),
    [
        (asking({"mmbd": {}}), None, "scanner must be one of mm-bd, neural-cleanse"),
        (asking(), null(CLEANSE), "twins must be scanned with one of mm-bd; got neural-cleanse"),
        (asking(), null(images=3), "images must be 3 as for the twins, got 12"),
        (asking(scan=None), null(), "twins of mm-bd must come with a scan, got none"),
    ],
)
def test_what_cannot_be_scanned_is_refused_before_anything_runs(settings, nulls, message):
    with pytest.raises(InputError, match=message):
        prepare(planted(), scans(), settings, nulls=nulls)


def test_other_tasks_and_twins_to_train_are_refused():
    dense = Subject(nn.Conv2d(1, 3, 1).eval(), task="segmentation", classes=CLASSES, channels=1, size=SIDE)
    with pytest.raises(InputError, match="scanners serve multiclass and multilabel models, got segmentation"):
        scan_of(Pair(subject=dense, data=scans(), targets=None, offered=60), ScanSettings(), {}, 0.0)
    with pytest.raises(InputError, match=r"an audit trains no twins, got 3: `aseptic scan` does, and --null takes"):
        asking(scan=ScanSettings(twins=3))
