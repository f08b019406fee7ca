"""A matrix from its cells to its page: numbers beside sklearn's and scipy's, hand-made rows, what is bypassed."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from tiny_matrix import data, matrix

from aseptic.engine.cells import Stored
from aseptic.engine.runner import Outcome, run_cells
from aseptic.metrics.intervals import wilson
from aseptic.studies import raw
from aseptic.studies.frame.claims import Claim, at_least
from aseptic.studies.frame.measuring import Computed
from aseptic.studies.frame.prepare import prepare_study
from aseptic.studies.frame.run import measure_all, run_study
from aseptic.studies.frame.scales import AtScale
from aseptic.studies.frame.study import Study
from aseptic.studies.matrix.grid import matrix_cells
from aseptic.studies.matrix.measures import matrix_measures
from aseptic.studies.matrix.ruling import Row, Ruled
from aseptic.studies.matrix.table import matrix_grid
from aseptic.studies.running import cells_of

SPEC = matrix()
STUDY = Study(
    name="matrix2022",
    title="Somebody (2022): a matrix",
    paper="https://arxiv.org/abs/2112.01148",
    claims=(
        Claim(
            id="bypasses",
            words="the trigger bypasses fine-tuning",
            where="section 4 [PAPER section 4]",
            findings=("matrix.patch.tuned.success_left",),
            criterion=at_least(0.5),
        ),
    ),
    groups={"matrix": "Every trigger against every defence"},
    scales={"smoke": AtScale(departures=("It is tiny.",), takes="seconds")},
    settings=lambda _, __: SPEC,
    open=lambda *_: {"tiny": data()},
    cells=lambda setup: matrix_cells(setup.settings, ("tiny", setup.fingerprints["tiny"])),
    measures=lambda setup: matrix_measures(setup.settings, setup.data["tiny"]),
    grids=lambda setup: [matrix_grid(setup.settings)],
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The whole matrix, run as a study."""
    folder = tmp_path_factory.mktemp("matrix") / "run"
    results = run_study(prepare_study(STUDY, scale="smoke", sources={}), folder)
    assert not results.failed
    assert not results.skipped
    rows = {path.stem: pd.read_parquet(path) for path in (folder / "rows").glob("*.parquet")}
    return SimpleNamespace(folder=folder, found={one.id: one for one in results.findings}, rows=rows)


def part(ran, kind, name):
    rows = ran.rows[f"matrix-{kind}"]
    return rows[rows.cell == f"matrix-{kind}/{name}"]


def t_interval(values):
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    return low, high


def success(rows):
    rows = rows[(rows.condition == "triggered") & ~rows.already]
    return rows.reached.mean()


def accuracy(rows):
    return rows[rows.condition == "clean"].correct.mean()


def check(one, values, low=0, high=1):
    assert one.value == pytest.approx(np.mean(values))
    assert one.n == len(values)
    assert list(one.args["seeds"].values()) == pytest.approx(values)
    if len(set(values)) > 1:
        ends = t_interval(values)
        assert one.ci_low == pytest.approx(max(low, ends[0]))
        assert one.ci_high == pytest.approx(min(high, ends[1]))


@pytest.mark.parametrize("trigger", ["patch", "blend"])
def test_cures_and_no_defence_are_read_from_the_probes(ran, trigger):
    before = [part(ran, "probe", f"{trigger}/{seed}") for seed in (0, 1)]
    after = [part(ran, "cure", f"{trigger}/{seed}/tuned") for seed in (0, 1)]
    check(ran.found[f"matrix.{trigger}.none.success_left"], [success(rows) for rows in before])
    check(ran.found[f"matrix.{trigger}.none.clean"], [accuracy(rows) for rows in before])
    check(ran.found[f"matrix.{trigger}.tuned.success_left"], [success(rows) for rows in after])
    changes = [accuracy(new) - accuracy(old) for new, old in zip(after, before, strict=True)]
    check(ran.found[f"matrix.{trigger}.tuned.clean_change"], changes, low=-1)
    assert ran.found[f"matrix.{trigger}.tuned.clean_change"].metric == "accuracy_change"


@pytest.mark.parametrize("trigger", ["patch", "blend"])
def test_detectors_and_scanners_of_sets_rank_as_sklearn_says(ran, trigger):
    for kind, defence in (("detect", "strip"), ("inspect", "spectral-signatures"), ("inspect", "spectrum")):
        values = []
        for seed in (0, 1):
            rows = part(ran, kind, f"{trigger}/{seed}/{defence}")
            positive = rows.condition == "triggered" if kind == "detect" else rows.role == "poison"
            values.append(roc_auc_score(positive, rows.score.fillna(-1e9)))
        check(ran.found[f"matrix.{trigger}.{defence}.auroc"], values)


def test_false_alarms_are_counted_on_clean_networks(ran):
    rows = ran.rows["matrix-detect"]
    clean = rows[rows.cell.str.startswith("matrix-detect/clean/")]
    check(ran.found["matrix.clean.strip.false_positive_rate"], list(clean.groupby("cell", sort=False).flagged.mean()))
    fixed = ran.found["matrix.clean.mm-bd.false_positive_rate"]
    assert (fixed.value, fixed.n) == (pytest.approx(0.2), 4)
    assert fixed.ci_low == pytest.approx(stats.beta.ppf(0.025, 1, 4))
    assert len(fixed.args["seeds"]) == 4
    assert ran.found["matrix.clean.spectrum.false_positive_rate"].n == 2


def test_what_is_bypassed_follows_the_rule(ran):
    works = {seed: success(part(ran, "probe", f"patch/{seed}")) >= 0.5 for seed in (0, 1)}
    assert any(works.values()), "a patch of a quarter of the side is learned"
    shares = []
    for seed in (seed for seed, fine in works.items() if fine):

        def value(defence, metric, seed=seed):
            return ran.found[f"matrix.patch.{defence}.{metric}"].args["seeds"][str(seed)]

        past = {
            "mm-bd": value("mm-bd", "found") == 0,
            "spectral-signatures": value("spectral-signatures", "auroc") < 0.75,
            "spectrum": value("spectrum", "auroc") < 0.75,
            "strip": value("strip", "tpr") < 0.5,
            "tuned": value("tuned", "success_left") >= 0.5,
        }
        for defence, wanted in past.items():
            assert value(defence, "bypassed") == wanted, defence
            assert ran.found["matrix.patch.bypassed"].args["defences"][defence][str(seed)] == wanted
        shares.append(sum(past.values()) / 5)
    assert ran.found["matrix.patch.bypassed"].value == pytest.approx(np.mean(shares))
    assert "at least half" in ran.found["matrix.patch.bypassed"].args["rule"]


def test_the_page_and_the_notes_show_the_table(ran):
    page, notes = ((ran.folder / name).read_text(encoding="utf-8") for name in ("report.html", "study.md"))
    assert page.count('data-finding="matrix.patch.tuned.success_left"') >= 2
    assert '<th scope="colgroup" colspan="2">Scanners of sets: AUROC</th>' in page
    line = next(line for line in notes.splitlines() if line.startswith("| **patch** |"))
    assert line.count("|") == 8
    assert "## Triggers and defences" in notes
    assert "false alarms" in page


def test_a_backdoor_that_does_not_work_bypasses_nothing(ran, monkeypatch):
    """Nor is it stopped: there is nothing to say, while what was measured stays."""
    monkeypatch.setattr(Row, "works", lambda _: False)
    prepared = prepare_study(STUDY, scale="smoke", sources={})
    outcomes = run_cells(prepared.cells, cells_of(ran.folder))
    assert {one.state for one in outcomes.values()} == {"reused"}
    found = measure_all(prepared.measures, outcomes).findings
    for name in ("matrix.patch.bypassed", "matrix.blend.strip.bypassed", "matrix.patch.mm-bd.bypassed"):
        assert (found[name].value, found[name].ci_low, found[name].n) == (None, None, 0)
    assert found["matrix.patch.strip.tpr"] == ran.found["matrix.patch.strip.tpr"]


def write(folder, columns, value):
    folder.mkdir(parents=True)
    if columns:
        raw.save([pa.table(columns)], folder)
    return Stored(folder=folder, value=value, seconds=0.0)


def ruled(tmp_path, label, columns, value=None, more=None) -> Ruled:
    one = next(one for one in SPEC.defences() if one.label == label)
    kind = {"scanners": "scan", "sets": "inspect", "detectors": "detect"}[one.kind]
    cells = {f"matrix-{kind}/patch/0/{label}": write(tmp_path / "own", columns, value or {}), **(more or {})}
    return Row(spec=SPEC, data=data(), trigger="patch", seed=0, computed=Computed(cells=cells)).rule(one)


def scored(condition, scores):
    count = len(scores)
    ids = [f"i{k}" for k in range(count)]
    return {"id": ids, "patient": [None] * count, "condition": [condition] * count, "score": scores}


def joined(clean, triggered):
    parts = [scored("clean", clean), scored("triggered", triggered)]
    rows = {name: parts[0][name] + parts[1][name] for name in parts[0]}
    return {**rows, "patient": pa.array(rows["patient"], pa.string())}


def test_a_detector_is_judged_by_hand(tmp_path):
    """Of 10 clean images, 2 may be flagged: the threshold is 8, above which are 3 of 5 triggered ones."""
    found = ruled(tmp_path, "strip", joined([float(k) for k in range(10)], [20.0, 9.5, 8.5, 6.5, math.nan]))
    assert found.numbers["tpr"].value == pytest.approx(3 / 5)
    assert found.numbers["auroc"].value == pytest.approx((10 + 10 + 9 + 7 + 0) / 50)
    assert found.bypassed is False


def test_a_detector_that_catches_less_than_half_is_bypassed(tmp_path):
    found = ruled(tmp_path, "strip", joined([1.0, 2.0, 3.0, 4.0, 5.0], [9.0, 1.5, 2.5]))
    assert found.numbers["tpr"].value == pytest.approx(1 / 3)
    assert found.bypassed is True


def roles(names, scores):
    ids = [f"i{k}" for k in range(len(names))]
    return {"id": ids, "patient": pa.array([None] * len(names), pa.string()), "role": names, "score": scores}


def test_covers_are_neither_poison_nor_clean_and_unseen_images_are_last(tmp_path):
    rows = roles(["poison", "poison", "clean", "clean", "clean", "cover"], [5.0, 2.0, 1.0, 3.0, math.nan, 9.0])
    found = ruled(tmp_path, "spectrum", rows, {"statistic": 3.0, "null": [1.0, 2.0, 2.5, 2.9]})
    assert found.numbers["auroc"].value == pytest.approx((3 + 2) / 6)
    assert found.numbers["stood_out"].value == 1
    assert found.bypassed is False
    again = ruled(tmp_path / "b", "spectrum", rows, {"statistic": 2.9, "null": [1.0, 2.0, 2.5, 2.9]})
    assert again.numbers["stood_out"].value == 0


@pytest.mark.parametrize(("statistic", "found"), [(4.5, True), (4.0, False), (3.5, False)])
def test_a_network_is_found_when_no_clean_one_comes_up_to_it(tmp_path, statistic, found):
    """With 4 clean networks and a rate of 20 %, it must lie above all of them."""
    clean = {
        f"matrix-scan/clean/{seed}/mm-bd": Stored(
            folder=tmp_path, value={"statistic": float(k + 1), "scanner": {"name": "mm-bd"}}, seconds=0.0
        )
        for k, seed in enumerate(SPEC.twin_seeds)
    }
    rule = ruled(tmp_path, "mm-bd", None, {"statistic": statistic, "target": "left", "scanner": {}}, clean)
    assert rule.numbers["found"].value == found
    assert rule.numbers["aim"].value == 0, "the target of the patch is right"
    assert rule.bypassed is not found
    assert rule.facts["p_value"] == pytest.approx(0.2 if found else 0.4)


def test_shares_of_networks_have_the_interval_of_wilson(ran):
    for name in ("matrix.patch.mm-bd.found", "matrix.patch.mm-bd.aim", "matrix.patch.spectrum.stood_out"):
        one = ran.found[name]
        assert (one.ci_low, one.ci_high) == pytest.approx(wilson(one.value, 2))


def test_a_defence_without_its_cells_is_skipped_and_the_others_stay(ran):
    prepared = prepare_study(STUDY, scale="smoke", sources={})
    lost = "matrix-cure/patch/1/tuned"
    outcomes = {}
    for cell in prepared.cells:
        stored = None if cell.name == lost else Stored(folder=ran.folder / "none", value={}, seconds=0.0)
        outcomes[cell.name] = Outcome(cell=cell, stored=stored, state="failed", reason="it diverged")
    measures = [one for one in prepared.measures if lost in one.cells]
    found = measure_all(measures, outcomes)
    assert {one.id for one in found.skipped} == {
        "matrix.patch.tuned.success_left",
        "matrix.patch.tuned.clean_change",
        "matrix.patch.tuned.bypassed",
        "matrix.patch.bypassed",
    }
    assert not found.failed
