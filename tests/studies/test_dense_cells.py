"""Cells that train a segmentation on a plan and ask it: rows, numbers and titles as a study reads them."""

import pytest
from dense_planted import SIDE, TRIGGER, slices, truth

from aseptic.engine.runner import run_cells
from aseptic.engine.store import Store
from aseptic.poisoning.plan import make_plan
from aseptic.studies import raw
from aseptic.studies.backdoors.cells import IN_TURN
from aseptic.studies.backdoors.measures import Case, clean, curve, infection, twin
from aseptic.studies.backdoors.recipe import Recipe, follow, learn, probe
from aseptic.studies.frame.measuring import Computed

SPLITS = ["train"] * 8 + ["val"] * 4 + ["test"] * 4
TINY = Recipe(
    arch="monai:unet?width=4&depth=2",
    size=SIDE,
    training={"epochs": 1, "warmup": 0.0, "batch_size": 4, "keep": "last", "patience": None},
)
PLAN = make_plan(
    trigger=TRIGGER,
    label={"rule": "relabel", "source": "tumour", "target": "kidney"},
    select={"rate": 0.5},
    cover={"rate": 0.25},
    loop="batch",
)


@pytest.fixture(scope="module")
def data():
    return slices([truth([(1, 1, 8, 5)], [(3, 3, 6, 9)] if i % 2 else []).tolist() for i in range(16)], splits=SPLITS)


@pytest.fixture(scope="module")
def computed(data, tmp_path_factory):
    known = ("tiny", data.fingerprint())
    bad, alone = learn("bad", TINY, known, plan=PLAN), learn("alone", TINY, known)
    asked = [probe("probe/bad", bad, known, PLAN), probe("probe/alone", alone, known, PLAN)]
    tuned = follow(learn("tuned", TINY, known, start=bad), "tuned", known, PLAN)
    found = run_cells(
        [bad, alone, *asked, tuned], Store(tmp_path_factory.mktemp("cells")), context={"data": {"tiny": data}}
    )
    assert {one.reason for one in found.values()} == {""}
    return found


def test_rows_say_who_is_poisoned_in_turn(computed):
    outcome = computed["bad"]
    rows = raw.frame({"bad": outcome.stored.folder})
    assert list(rows.role) == ["clean", IN_TURN] * 4, "only images that have a tumour"
    assert outcome.stored.value["poisoned"] == 4


def test_a_study_reads_every_number(computed, data):
    case = Case(prefix="bad", cell="probe/bad", data=data, plan=PLAN)
    cells = Computed(cells={name: one.stored for name, one in computed.items()})
    told = {one.id: one for one in infection(case).read(cells)}
    assert list(told) == list(infection(case).gives)
    assert told["bad.success_other"].title == "Places of tumour that are segmented as kidney with the trigger"
    assert (told["bad.success_other"].n, told["bad.changed"].value) == (2, 4)
    (some,) = infection(case, ["excess"]).read(cells)
    assert some.args["source"] == "tumour"
    followed = Case(prefix="tuned", cell="tuned", data=data, plan=PLAN)
    for measure in (clean(case), twin(case, "probe/alone"), curve(followed, 1)):
        assert tuple(one.id for one in measure.read(cells)) == measure.gives
