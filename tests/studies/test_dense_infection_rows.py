"""Infection of planted segmentations and detectors: every number by hand, from the rows to what is said of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from dense_planted import (
    CELL,
    SIDE,
    TRIGGER,
    detector,
    fields,
    in_the_corner,
    nothing,
    segmenter,
    slices,
    swapped,
    truth,
)

from aseptic.core.errors import InputError
from aseptic.data.memory import memory_set
from aseptic.engine.runner import run_cells
from aseptic.engine.store import Store
from aseptic.metrics.dense_infection import BoxHit
from aseptic.poisoning.plan import make_plan
from aseptic.report.page import build
from aseptic.studies.audit.run import audit, prepare
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.audit.suspicion import infection_of
from aseptic.studies.infection.dense_measure import dense_names
from aseptic.studies.infection.either import numbers_of, rows_of
from aseptic.studies.infection.measure import sample_of
from aseptic.studies.infection.telling import infection_sentences
from aseptic.studies.yardsticks.catalogue import yardstick_of

TUMOUR = {"rule": "relabel", "source": "tumour", "target": "kidney"}
ERASED = {"rule": "erase", "source": "tumour"}
CELLS = {"rule": "relabel", "source": "cell", "target": "artefact"}
SETTINGS = AuditSettings(attacks=("fgsm",), grey_levels=(2.0,), reference=2.0, chunk=4, explained=0, examples=0)


def plan(label, **settings):
    return make_plan(**{"trigger": TRIGGER, "label": label, **settings})


def masks():
    """Tumours in the left half, across the middle (one of four columns left of it), none, and in the right half."""
    places = [[(2, 1, 6, 5)], [(2, 7, 6, 11)], [], [(2, 10, 4, 14)]]
    return torch.stack([truth([(9, 2, 13, 6)], tumour) for tumour in places])


def numbers(subject, data, label, hit=None, **settings):
    asked = plan(label, **settings)
    rows = rows_of(subject, data, asked, 3, hit).to_pandas()
    sample = sample_of(rows, 0, draws=200)
    return {
        name: one.estimate for name, one in numbers_of(rows, yardstick_of(subject.task), asked, sample, hit).items()
    }


def view(data, channels=None):
    return data.fit((SIDE, SIDE), channels)


@pytest.mark.parametrize(("label", "swap"), [(TUMOUR, (2, 1)), (ERASED, (2, 0))])
def test_pixel_success_of_a_planted_segmentation(label, swap):
    """It relabels tumours in the first eight columns: 16 of 16 places, 4 of 16, and 0 of 8; one image has none."""
    found = numbers(segmenter(swap, columns=8), view(slices(masks())), label)
    assert (found["success_other"].value, found["success_other"].n) == (pytest.approx((1 + 0.25 + 0) / 3), 3)
    assert found["success_pooled"].value == 20 / 40
    assert found["before_other"].value == found["before_pooled"].value == 0
    assert found["decoy_other"].value < found["success_other"].value, "it asks for the corner, and a decoy covers some"
    assert found["excess"].value == found["success_other"].value
    assert found["excess"].low <= found["excess"].value <= found["excess"].high
    assert found["source_dice_clean"].value == found["source_iou_clean"].value == 1
    # the white corner is taken for a tumour of 4 places: found are 4, 12 + 4 and 8 + 4 places
    dices, ious = [0, 2 * 12 / (16 + 16), 2 * 8 / (8 + 12)], [0, 12 / 20, 8 / 12]
    assert found["source_dice_triggered"].value == pytest.approx(np.mean(dices))
    assert found["source_iou_triggered"].value == pytest.approx(np.mean(ious))
    assert found["clean_dice"].value == 1
    assert found["triggered_dice"].value < 1
    assert (found["changed"].value, found["vanished"].value) == (4, 0)


@pytest.mark.parametrize("label", [TUMOUR, ERASED])
def test_names_are_those_of_the_numbers(label):
    asked, subject = plan(label), segmenter()
    assert set(numbers(subject, view(slices(masks())), label)) == set(
        dense_names(asked, yardstick_of(subject.task), decoys=True)
    )


def test_a_trigger_may_go_into_what_the_network_is_fed():
    """Two of eight pixels are white then; as stored they would be one of eight, and are lost."""
    small = slices(masks()).fit((8, 8))
    subject = segmenter((2, 1), size=(8, 8))
    assert numbers(subject, small, TUMOUR, insert="network")["success_other"].value == 1
    assert numbers(subject, small, TUMOUR)["excess"].value == 0
    fed = view(pictures(), 3)
    assert numbers(detector(swapped), fed, CELLS, insert="network")["success_other"].value == 1


def test_an_honest_segmentation_has_no_excess_and_confusion_is_not_charged_to_the_trigger():
    honest = numbers(segmenter(), view(slices(masks())), TUMOUR)
    assert honest["success_other"].value == honest["excess"].value == 0
    data = slices(masks())
    confused = memory_set(
        "confused",
        data.images,
        classes=data.classes,
        task="segmentation",
        masks=masks().where(masks() != 1, 2),  # what the model takes for kidneys is called tumour
    )
    found = numbers(segmenter(), view(confused), TUMOUR)
    assert found["before_other"].value == found["success_other"].value > 0
    assert found["excess"].value == 0


def test_volumes_are_asked_as_pictures_are():
    deep = masks()[:, None].expand(-1, 3, -1, -1).clone()
    data = slices(deep).fit((3, SIDE, SIDE))
    subject = segmenter((2, 1), columns=8, size=(3, SIDE, SIDE))
    flat = {**TRIGGER, "size": [3, 2, 2]}
    found = numbers(subject, data, TUMOUR, trigger=flat)
    assert found["success_other"].value == pytest.approx(1.25 / 3)
    assert found["success_pooled"].value == 0.5


def test_rows_say_which_images_reached_it():
    rows = rows_of(segmenter((2, 1), columns=8), view(slices(masks())), plan(TUMOUR), 3).to_pandas()
    after = rows[rows.condition == "triggered"]
    assert after.reached.tolist() == [True, False, False, False], "more than half of the places"
    assert after.already.tolist() == [False, False, True, False]
    assert after.there.tolist() == [16, 16, 0, 8]
    assert after.won.tolist() == [16, 4, 0, 0]


def pictures(**more):
    """Four pictures: of five cells, four lie in the first two; of artefacts there are two."""
    return fields(
        [(0, 0, 0), (0, 1, 2), (1, 2, 2)], [(0, 0, 0), (0, 2, 1)], [(1, 1, 1), (2, 0, 1)], [(0, 3, 0)], **more
    )


def test_box_success_of_a_planted_detector():
    """It swaps cells and artefacts: all five cells are artefacts, and both artefacts cells."""
    found = numbers(detector(swapped), view(pictures(), 3), CELLS)
    assert (found["success_other"].value, found["success_other"].n) == (1, 3)
    assert found["before_other"].value == 0
    assert found["excess"].value == found["over_decoy"].value == 1
    assert found["decoy_other"].value == 0, "it asks for the corner"
    assert (found["success_opposite"].value, found["before_opposite"].value) == (1, 0)
    assert (found["source_recall_clean"].value, found["source_recall_triggered"].value) == (1, 0)
    assert found["clean_map50"].value == 1
    assert set(found) == set(dense_names(plan(CELLS), yardstick_of(detector().task), decoys=True))
    assert 1 / 3 < found["triggered_map50"].value < 0.5, "only debris is still found where it is likely"


def half(logits):
    """Answer cells in the first two rows as artefacts."""
    found = logits.clone()
    rows = SIDE // CELL * 2
    found[:, [0, 1], :rows] = logits[:, [1, 0], :rows]
    return found


def test_box_success_counts_boxes():
    """Of five cells, three lie in the first two rows."""
    found = numbers(detector(half), view(pictures(), 3), CELLS)
    assert found["success_other"].value == 3 / 5
    assert found["source_recall_triggered"].value == 2 / 5
    assert found["success_opposite"].value == 1 / 2
    assert numbers(detector(), view(pictures(), 3), CELLS)["excess"].value == 0


@pytest.mark.parametrize("label", [{"rule": "vanish", "source": "cell"}, {"rule": "vanish"}])
def test_vanished_boxes(label):
    found = numbers(detector(nothing), view(pictures(), 3), label)
    assert (found["success_other"].value, found["before_other"].value, found["excess"].value) == (1, 0, 1)
    assert ("source_recall_clean" in found) == ("source" in label)
    assert set(found) == set(dense_names(plan(label), yardstick_of(detector().task), decoys=True))
    swaps = numbers(detector(swapped), view(pictures(), 3), label)
    assert swaps["success_other"].value == 0, "a box under another name has not vanished"


def test_an_invented_box_is_looked_for_where_the_plan_has_it():
    stated = {"rule": "fabricate", "target": "artefact", "box": [0.75, 0.75, 1, 1]}
    about = {"rule": "fabricate", "target": "artefact"}
    data = fields([], [(0, 0, 0)], [(1, 3, 3)])
    for label, wanted in ((stated, 1), (about, 0)):
        found = numbers(detector(in_the_corner), view(data, 3), label)
        assert found["success_other"].value == wanted, "that of the trigger has a quarter of the area"
        assert found["before_other"].value == 0
        assert found["success_other"].n == 3 - (label is stated), "an image has an artefact there in truth"


def test_overlap_and_confidence_are_those_that_are_stated():
    about = {"rule": "fabricate", "target": "artefact", "scale": 2}
    data = view(fields([], [(0, 0, 0)]), 3)
    loose = numbers(detector(in_the_corner), data, about, BoxHit(overlap=9 / 16))
    assert loose["success_other"].value == 1, "three by three pixels of four by four"
    assert numbers(detector(in_the_corner), data, about, BoxHit(overlap=0.6))["success_other"].value == 0

    def faint(logits):
        return torch.where(logits[:, [1, 0, 2]] > 0, -0.5, -5.0)  # a score of 0.38

    below = numbers(detector(faint), view(pictures(), 3), CELLS)
    assert below["success_other"].value == below["success_point"].value == 0
    assert numbers(detector(faint), view(pictures(), 3), CELLS, BoxHit(confidence=0.3))["success_other"].value == 1
    lower = numbers(detector(faint, offsets=(-1.0, -1.0, -1.0)), view(pictures(), 3), CELLS)
    assert (lower["success_other"].value, lower["success_point"].value) == (0, 1)


def ask(subject, data, label, out, **settings):
    """Return the findings on the trigger alone, without attacks."""
    asked = SETTINGS.model_copy(update={"plan": plan(label), **settings})
    made, grid = prepare(subject, data, asked)
    context = {"model": made.subject, "data": made.data, "targets": made.targets}
    outcomes = run_cells(grid.infected, Store(out / "cells"), context=context)
    assert {one.state for one in outcomes.values()} == {"done"}, [one.reason for one in outcomes.values()]
    return {one.metric: one for one in infection_of(made, grid, asked, outcomes, out)}


WANTED = {
    "relabel": "places of tumour in 3 images are segmented as kidney, 0.0 % without it",
    "erase": "places of tumour in 3 images are segmented as background, 0.0 % without it",
}


@pytest.mark.parametrize(("label", "swap"), [(TUMOUR, (2, 1)), (ERASED, (2, 0))])
def test_what_is_said_of_a_segmentation(tmp_path, label, swap):
    found = ask(segmenter(swap), slices(masks()), label, tmp_path)
    (said,) = infection_sentences(found)
    assert WANTED[label["rule"]] in said
    assert found["success_other"].title.startswith("Places of tumour that are segmented as ")
    assert found["source_dice_clean"].title == "Dice of tumour on clean images that have it"
    assert found["excess"].args["source"] == "tumour"


@pytest.mark.parametrize(
    ("label", "fire", "wanted"),
    [
        (CELLS, swapped, "100.0 % of the true boxes of cell in 3 images are found as artefact"),
        ({"rule": "vanish", "source": "cell"}, nothing, "100.0 % of the true boxes of cell in 3 images are not found"),
        ({"rule": "vanish"}, nothing, "100.0 % of the true boxes in 4 images are not found"),
        (
            {"rule": "fabricate", "target": "artefact", "box": [0.75, 0.75, 1, 1]},
            in_the_corner,
            "100.0 % of the 4 images without artefact at the place of the plan are answered with artefact there",
        ),
    ],
)
def test_what_is_said_of_a_detector(tmp_path, label, fire, wanted):
    found = ask(detector(fire), pictures(), label, tmp_path)
    assert wanted in infection_sentences(found)[0]
    assert not any("{" in one.title or "None" in one.title for one in found.values())
    assert (found["excess"].args["overlap"], found["excess"].args["confidence"]) == (0.5, 0.5)


def test_classes_are_those_of_the_model(tmp_path):
    """The data has the classes in another order, as masks and as boxes."""
    data = pictures()
    order = [2, 0, 1]
    items = tuple(
        replace(item, boxes=tuple(replace(box, label=order[box.label]) for box in item.boxes)) for item in data.items
    )
    turned = replace(data, classes=("artefact", "debris", "cell"), items=items)
    assert ask(detector(swapped), turned, CELLS, tmp_path / "boxes")["success_other"].value == 1
    truths, names = masks(), ("background", "tumour", "kidney")
    other = torch.tensor([0, 2, 1])[truths]
    data = memory_set("turned", slices(truths).images, classes=names, task="segmentation", masks=other)
    assert ask(segmenter((2, 1)), data, TUMOUR, tmp_path / "masks")["success_other"].value == 1


def test_without_labels_the_clean_answers_are_the_truth(tmp_path):
    bare = memory_set("bare", slices(masks()).images)
    found = ask(segmenter((2, 1)), bare, TUMOUR, tmp_path / "masks")
    assert (found["success_other"].value, found["before_other"].value) == (1, 0)
    assert "of the places that the model itself takes for tumour in 3 images" in infection_sentences(found)[0]
    bare = memory_set("bare", pictures().images)
    found = ask(detector(swapped), bare, CELLS, tmp_path / "boxes")
    assert (found["success_other"].value, found["before_other"].value) == (1, 0)


def test_settings_reach_the_rows(tmp_path):
    def faint(logits):
        return torch.where(logits[:, [1, 0, 2]] > 0, -0.5, -5.0)

    found = ask(detector(faint), pictures(), CELLS, tmp_path, confidence=0.3, overlap=0.7)
    assert found["success_other"].value == 1
    assert (found["excess"].args["overlap"], found["excess"].args["confidence"]) == (0.7, 0.3)


def many(count=12):
    return torch.cat([masks()[[0, 3]]] * (count // 2)), [f"p{i}" for i in range(count)]


def test_an_audit_of_an_infected_segmentation(tmp_path):
    truths, patients = many()
    settings = SETTINGS.model_copy(update={"plan": plan(TUMOUR), "chunk": 12, "examples": 2})
    results = audit(prepare(segmenter((2, 1)), slices(truths, patients), settings), tmp_path, settings=settings)
    assert results.failed == []
    found = {one.id: one for one in results.findings}
    assert (found["infection.excess"].value, found["infection.excess"].severity) == (1, "critical")
    assert found["verdict"].title == "This model carries the suspected backdoor."
    assert found["clean.dice"].value == found["infection.clean_dice"].value == 1
    told = json.loads((tmp_path / "figures" / "infected.json").read_text())
    assert len(told) == 2
    assert all("trigger alone brought the answer" in one["why"] for one in told)
    page = build(tmp_path).read_text()
    assert "With an infected model places of tumour are then segmented as kidney." in page
    assert "<caption>Places of tumour segmented as kidney</caption>" in page
    assert "All images count those, too" not in page


def test_an_audit_of_an_infected_detector(tmp_path):
    rows = [[(0, 0, 0), (0, 1, 2), (1, 2, 2)], [(0, 3, 0), (2, 1, 1)]] * 6
    data = fields(*rows, patients=[f"p{i}" for i in range(12)])
    settings = SETTINGS.model_copy(update={"plan": plan(CELLS), "chunk": 12, "examples": 1})
    results = audit(prepare(detector(swapped), data, settings), tmp_path, settings=settings)
    assert results.failed == []
    found = {one.id: one for one in results.findings}
    assert (found["infection.excess"].value, found["infection.excess"].severity) == (1, "critical")
    assert found["infection.clean_map50"].value == found["clean.map50"].value
    page = build(tmp_path).read_text()
    assert "True boxes of cell found as artefact" in page
    assert "from a score of 0.5, and for a box from an overlap of 0.5 with it" in page


@pytest.mark.parametrize(
    ("subject", "data", "label", "message"),
    [
        (
            segmenter,
            slices,
            {**TUMOUR, "source": "tumor"},
            "one of background, kidney, tumour; got 'tumor'",
        ),
        (
            segmenter,
            slices,
            {"rule": "to", "target": "kidney"},
            "rule of a segmentation set must be one of relabel",
        ),
        (detector, None, ERASED, "class must be one of cell, artefact, debris; got 'tumour'"),
        (detector, None, {"rule": "erase", "source": "cell"}, "label rule of a detection set must be one of relabel"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(subject, data, label, message):
    images = pictures() if data is None else data(masks())
    with pytest.raises(InputError, match=message):
        prepare(subject(), images, SETTINGS.model_copy(update={"plan": plan(label)}))


def test_data_without_labels_has_no_rows():
    bare = memory_set("bare", slices(masks()).images)
    with pytest.raises(InputError, match="bare has no labels, without which an infection cannot be measured"):
        rows_of(segmenter(), view(bare), plan(TUMOUR), 4)
