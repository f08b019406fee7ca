"""Cells that try defences: what their rows say, which images a defender has, and what each depends on."""

import math

import pandas as pd
import pytest
import torch
from tiny_matrix import FIBA, PATCH, SPLITS, TINY, data, matrix

from aseptic.core.errors import AsepticError, InputError
from aseptic.data.splits import sample
from aseptic.defences.catalogue import make_defence
from aseptic.detectors.base import FittedDetector
from aseptic.detectors.catalogue import make_detector
from aseptic.engine.cells import in_order
from aseptic.engine.runner import run_cells
from aseptic.engine.store import Store
from aseptic.models.load import load_model
from aseptic.poisoning.plan import make_plan
from aseptic.poisoning.poison import poison
from aseptic.scanners.sets.catalogue import make_set_scanner
from aseptic.studies import raw
from aseptic.studies.backdoors.cells import MODEL
from aseptic.studies.backdoors.defending import cure, detect, inspect, scan
from aseptic.studies.backdoors.recipe import learn
from aseptic.studies.infection.either import rows_of
from aseptic.studies.matrix.grid import matrix_cells

DATA = data()
KNOWN = ("tiny", DATA.fingerprint())
PLAN = make_plan(**PATCH)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Cells on one infected network and one that learned batches that were poisoned anew."""
    bad = learn("train/bad", TINY, KNOWN, plan=PLAN)
    loop = learn("train/loop", TINY, KNOWN, plan=make_plan(**FIBA), share=0.5)
    cells = [
        cure("cure", bad, KNOWN, PLAN, defence="fine-tuning", options={"epochs": 1}, clean=20, seed=5),
        detect("detect", bad, KNOWN, PLAN, detector="strip", options={"overlays": 4}, images=9, rate=0.2, seed=2),
        detect("unasked", bad, KNOWN, None, detector="strip", options={"overlays": 4}, images=9, rate=0.2, seed=2),
        inspect("inspect", bad, KNOWN, scanner="spectral-signatures", draws=3, seed=1),
        inspect("batches", loop, KNOWN, scanner="spectrum", options={"at_least": 8}, draws=3),
        scan("scan", bad, KNOWN, scanner="mm-bd", options={"starts": 2, "steps": 3}, images=4),
    ]
    found = run_cells(cells, Store(tmp_path_factory.mktemp("cells")), context={"data": {"tiny": DATA}})
    assert {one.reason for one in found.values()} == {""}
    return found


def rows_in(outcome):
    return raw.frame({outcome.cell.name: outcome.stored.folder}).drop(columns="cell")


def spared(count, seed):
    val = TINY.view(DATA.split("val"))
    return val.select(sample(val.items, count, seed=seed))


def test_a_cure_learns_from_val_images_and_is_asked_about_test_images(ended):
    model = load_model(ended["train/bad"].stored.folder / MODEL)
    cured = make_defence("fine-tuning", epochs=1).cure(model, spared(20, 5), seed=5)
    wanted = rows_of(cured, TINY.view(DATA.split("test")), PLAN, 12, decoys=False).to_pandas()
    pd.testing.assert_frame_equal(rows_in(ended["cure"]), wanted)
    value = ended["cure"].stored.value
    assert (value["images"], value["clean"]) == (30, 20)
    assert value["seconds"] > 0


def test_a_detector_is_fitted_to_val_images_and_scores_pairs_that_are_not_of_the_target(ended):
    model = load_model(ended["train/bad"].stored.folder / MODEL)
    fitted = make_detector("strip", overlays=4).fit(model, spared(45, 2), seed=2, batch_size=12)
    rows, test = rows_in(ended["detect"]), TINY.view(DATA.split("test"))
    assert list(rows.condition) == ["clean"] * 9 + ["triggered"] * 9
    parts = [rows[rows.condition == name].reset_index(drop=True) for name in ("clean", "triggered")]
    assert list(parts[0].id) == list(parts[1].id)
    chosen = [test.ids.index(name) for name in parts[0].id]
    assert all(test.items[i].label != 2 for i in chosen)
    part = test.select(chosen)
    scores = torch.cat([fitted.score(part), fitted.score(make_plan(**PATCH).made.apply(part.images, ()))])
    assert rows.score.tolist() == pytest.approx(scores.tolist(), abs=1e-6)
    assert rows.flagged.tolist() == (scores > fitted.threshold(0.2)).tolist()
    assert ended["detect"].stored.value["threshold"] == pytest.approx(fitted.threshold(0.2))


def test_without_a_plan_a_detector_scores_clean_images_of_every_class(ended):
    rows = rows_in(ended["unasked"])
    assert set(rows.condition) == {"clean"}
    labels = dict(zip(DATA.ids, (item.label for item in DATA.items), strict=True))
    assert len(rows) == 9
    assert {labels[name] for name in rows.id} == {0, 1, 2}


def test_an_image_of_which_nothing_can_be_said_is_the_least_suspicious(monkeypatch, tmp_path):
    """Even where that is every clean image: what has a score is then flagged, what has none is not."""
    scores = iter([[math.nan] * 22, [math.nan] * 4, [math.nan, 0.1, 0.2, math.nan]])

    monkeypatch.setattr(FittedDetector, "score", lambda _, images, **__: torch.tensor(next(scores)[: len(images)]))
    bad = learn("train/bad", TINY, KNOWN, plan=PLAN)
    cell = detect("x", bad, KNOWN, PLAN, detector="strip", options={"overlays": 4}, images=4, rate=0.2, seed=9)
    found = run_cells([cell], Store(tmp_path), context={"data": {"tiny": DATA}})
    assert found["x"].reason == ""
    rows = rows_in(found["x"])
    assert rows.score.isna().tolist() == [True] * 5 + [False] * 2 + [True]
    assert rows.flagged.tolist() == [False] * 5 + [True] * 2 + [False]


def test_a_scanner_sees_the_poisoned_training_set_as_it_was_learned(ended):
    made = poison(TINY.view(DATA.split("train")), PLAN)
    model = load_model(ended["train/bad"].stored.folder / MODEL)
    scanner = make_set_scanner("spectral-signatures")
    wanted = scanner.scan(made.data, model, seed=1, batch_size=12)
    rows, value = rows_in(ended["inspect"]), ended["inspect"].stored.value
    assert list(rows.id) == list(made.data.ids)
    assert list(rows.role) == [mark.role for mark in made.marks]
    assert (rows.label[rows.role == "poison"] == "right").all()
    assert rows.score.tolist() == pytest.approx(wanted.suspicion.tolist(), nan_ok=True)
    assert value["statistic"] == pytest.approx(wanted.statistic)
    assert value["label"] == max(wanted.groups, key=lambda one: one.statistic).name
    assert (value["poisoned"], len(value["null"])) == (18, 3)


def test_batches_that_are_poisoned_anew_are_scanned_as_a_set_that_is_poisoned_once(ended):
    rows = rows_in(ended["batches"])
    learned = rows_in(ended["train/loop"])
    assert list(rows.id) == list(learned.id)
    assert set(learned.role) == {"in turn"}
    assert (rows.role == "poison").sum() == math.floor(0.3 * len(rows)) == ended["batches"].stored.value["poisoned"]


def test_a_scan_names_the_outputs_of_the_network(ended):
    value = ended["scan"].stored.value
    assert value["outputs"] == ["left", "middle", "right"]
    assert value["target"] in value["outputs"]
    assert value["scanner"]["starts"] == 2


@pytest.mark.parametrize(
    ("make", "named", "message"),
    [
        (cure, "defence", "defence must be one of"),
        (detect, "detector", "detector must be one of"),
        (inspect, "scanner", "set scanner must be one of"),
        (scan, "scanner", "scanner must be one of"),
    ],
)
def test_unknown_methods_are_refused_before_anything_is_computed(make, named, message):
    model, plan = learn("train", TINY, KNOWN), [PLAN] if make in {cure, detect} else []
    with pytest.raises(InputError, match=f"{message} .*; got 'nothing'"):
        make("x", model, KNOWN, *plan, **{named: "nothing"})
    known = {cure: "anp", detect: "strip", inspect: "spectrum", scan: "mm-bd"}[make]
    with pytest.raises(InputError, match="'sharpness'"):
        make("x", model, KNOWN, *plan, **{named: known, "options": {"sharpness": 3}})


def test_a_cell_says_every_setting_of_its_method():
    model = learn("train", TINY, KNOWN)
    short = cure("x", model, KNOWN, PLAN, defence="anp")
    spelled = cure("x", model, KNOWN, PLAN, defence="anp", options={"eps": 0.4})
    assert short.config["defence"]["eps"] == 0.4
    assert short.key == spelled.key
    assert short.key != cure("x", model, KNOWN, PLAN, defence="anp", options={"eps": 0.5}).key
    assert short.key != cure("x", model, KNOWN, PLAN, defence="anp", seed=1).key


def test_the_grid_holds_every_trigger_seed_and_defence_once():
    spec = matrix()
    cells = [*in_order(matrix_cells(spec, KNOWN))]
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names) == len({cell.key for cell in cells})
    counts = pd.Series([cell.group for cell in cells]).value_counts().to_dict()
    assert counts == {
        "matrix-train": 2 * 2 + 4,
        "matrix-probe": 4,
        "matrix-cure": 4,
        "matrix-detect": 4 + 2,
        "matrix-inspect": 2 * (4 + 2),
        "matrix-scan": 4 + 4,
    }
    by_name = {cell.name: cell for cell in cells}
    trained = [cell for cell in cells if cell.group == "matrix-train"]
    seeds = [cell.config["recipe"]["training"]["seed"] for cell in trained]
    assert len(set(seeds)) == 2 + 4
    assert by_name["matrix-train/patch/1"].config["plan"]["seed"] == 1
    assert by_name["matrix-cure/patch/1/tuned"].config["defence"]["epochs"] == 1
    assert {cell.config["seed"] for cell in cells if cell.group == "matrix-scan"} == {0}
    assert {cell.config["split"] for cell in cells if cell.group == "matrix-scan"} == {"val"}
    assert SPLITS.count("val") == 45


def test_clean_networks_are_there_for_those_who_need_them():
    assert len(matrix(scanners={}).twin_seeds) == 2
    assert len(matrix(scanners={}, sets={}, detectors={}).twin_seeds) == 0
    assert len(matrix().twin_seeds) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": (1, 1)}, "seeds of a matrix must have distinct names, got '1' twice"),
        ({"cures": {"strip": {"name": "anp"}}}, "defences of a matrix must have distinct names, got 'strip' twice"),
        ({"triggers": {}}, "a matrix must have a trigger, a defence and a seed, got none of one of them"),
        ({"triggers": {"clean": PATCH}}, "not clean, none or bypassed; got 'clean'"),
        ({"triggers": {"a.b": PATCH}}, "names in a matrix must be of small letters, digits, - and _.*'a.b'"),
        ({"cures": {"anb": {}}}, "defence must be one of .*; got 'anb'"),
        ({"rate": 0.6}, r"rate must lie in \(0, 0.5\], got 0.6"),
        ({"twins": 3}, "twins must be enough for a rate of 0.2, 4 or more; got 3"),
        ({"draws": 18, "rate": 0.05, "twins": 19}, "draws must be enough for a rate of 0.05, 19 or more; got 18"),
    ],
)
def test_a_matrix_that_could_say_nothing_is_refused(settings, message):
    with pytest.raises(AsepticError, match=message):
        matrix(**settings)
