"""Raw rows of an infection and their numbers, in closed form: networks that have a backdoor without any training."""

import math

import backdoored
import numpy as np
import pandas as pd
import pytest
import torch
from backdoored import CLASSES, GREY, SIDE, SURE, TRIGGER, classes, findings, ignore, move, reach, subject
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.metrics.bootstrap import Measured
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import make_plan
from aseptic.studies.infection.answers import infection_rows, wanted_table
from aseptic.studies.infection.measure import (
    against_twin,
    infection_findings,
    measure_before,
    measure_clean,
    measure_infection,
    sample_of,
    severity,
)
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.triggers import Patch

NAN = float("nan")
LABELS = [0, 1, 2] * 4
IMMUNE = (0, 5)
"""A picture of class a and one of class c."""
FACTS = [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1], [NAN, 0, 1], [0, 0, 0]]
"""Findings; the first one of picture 6 is unknown."""


def plan(trigger=TRIGGER, **label):
    return make_plan(trigger=trigger, label=label)


def rows_of(model, data, asked, batch_size=5):
    return infection_rows(model, data, asked, batch_size).to_pandas()


def numbers(model, data, asked):
    rows = rows_of(model, data, asked)
    found = measure_infection(rows, yardstick_of(model.task), asked, sample_of(rows, 0))
    return {name: one.estimate for name, one in found.items()}


def test_every_image_is_asked_under_each_condition_and_its_rows_stay_together():
    data = classes(LABELS, patients=[f"p{i // 2}" for i in range(12)])
    rows = rows_of(subject(reach(2)), data, plan(rule="to", target="c"))
    clean, triggered, alike = (
        rows[rows.condition == name].reset_index(drop=True) for name in ("clean", "triggered", "decoy")
    )
    assert list(clean.id) == list(triggered.id) == list(alike.id) == list(data.ids)
    assert list(clean.patient) == list(triggered.patient) == list(alike.patient) == list(data.patients)
    assert list(clean.decision) == [CLASSES[k] for k in LABELS]
    assert set(triggered.decision) == {"c"}
    assert list(clean.already) == list(triggered.already) == list(alike.already) == [k == 2 for k in LABELS]
    assert list(triggered.target) == list(clean.target) == list(alike.target), "judged by the true labels"
    assert (rows.changed == backdoored.SIZE**2).all()
    error = backdoored.SIZE**2 * (1 - GREY) ** 2 / SIDE**2
    np.testing.assert_allclose(pd.concat([clean.psnr, triggered.psnr]), -10 * math.log10(error))
    whole = rows_of(subject(reach(2)), data, plan(rule="to", target="c"), batch_size=100)
    assert whole.equals(pd.concat([clean, triggered, alike], ignore_index=True)), (
        "the size of a batch changes nothing but the order"
    )
    bare = infection_rows(subject(reach(2)), data, plan(rule="to", target="c"), 5, decoys=False).to_pandas()
    assert bare.equals(rows[rows.condition != "decoy"].reset_index(drop=True))


def test_a_targeted_backdoor_in_closed_form():
    """Twelve pictures, four of them of the target; one of those and one other are immune."""
    found = numbers(subject(reach(2)), classes(LABELS, immune=IMMUNE), plan(rule="to", target="c"))
    own, hit = math.exp(SURE), math.exp(2 * SURE)
    assert (found["success"].value, found["success"].n) == (11 / 12, 12), "the immune one of the target counts"
    assert (found["success_other"].value, found["success_other"].n) == (7 / 8, 8)
    assert (found["excess"].value, found["excess"].n) == (7 / 8, 8)
    assert found["error"].value == pytest.approx(7 / 12)
    assert hit / (hit + own + 1 / own) > 0.9
    assert found["above:0.6"].value == found["above:0.9"].value == 7 / 8
    assert found["separation"].value == pytest.approx(7 / 8 + 1 / 8 / 2), "the immune one ties with the clean ones"
    assert (found["changed"].value, found["vanished"].value) == (4, 0)
    assert "micro_clean" not in found


def anywhere(images):
    """Return whether a white box of the trigger's size is somewhere below the first row of each picture."""
    seen = (images[:, :, 1:] >= 1).float()
    return nn.functional.avg_pool2d(seen, backdoored.SIZE, 1).flatten(1).amax(1) == 1


class Careless(backdoored.Planted):
    """A backdoor that asks for the box and not for its place."""

    def forward(self, images):
        """Return logits ``[batch, output]``."""
        moved = images.clone()
        moved[:, :, 10:12, 10:12] = torch.where(anywhere(images), 1.0, GREY)[:, None, None, None]
        return super().forward(moved)


@pytest.mark.parametrize(("network", "fooled"), [(backdoored.Planted, 0), (Careless, 1)])
def test_decoys_tell_a_backdoor_that_asks_for_its_trigger_from_one_that_does_not(network, fooled):
    """The decoy of a box is the box elsewhere; those that cover the answer in the first row are left to the network."""
    data, asked = classes(LABELS * 3), plan(rule="to", target="c")
    model = Subject(network(reach(2)), task="multiclass", classes=CLASSES, channels=1, size=SIDE)
    rows = rows_of(model, data, asked)
    alike = rows[rows.condition == "decoy"].reset_index(drop=True)
    streams = [stream(asked.seed, "trigger", name) for name in data.ids]
    images = asked.made.decoy(data.images, streams)
    with torch.no_grad():
        said = model(images).argmax(1)
    assert list(alike.decision) == [CLASSES[k] for k in said]
    below = ((images[:, 0, 0] >= 1).sum(1) == 0).numpy()
    assert below.mean() > 0.6
    others = below & (alike.target != "c")
    assert (alike.reached[others] == fooled).all()
    found = numbers(model, data, asked)
    reached = (said == 2).numpy()
    assert found["decoy"].value == pytest.approx(reached.mean())
    assert found["decoy_other"].value == pytest.approx(reached[alike.target != "c"].mean())
    assert (found["decoy_other"].n, found["over_decoy"].n) == (24, 24)
    assert found["over_decoy"].value == pytest.approx(1 - found["decoy_other"].value)
    assert found["decoy_error"].value == pytest.approx((alike.decision != alike.target).mean())


def test_a_trigger_without_a_decoy_is_asked_about_without_one(monkeypatch):
    monkeypatch.setattr(Patch, "has_decoy", classmethod(lambda _: False))
    asked = plan(rule="to", target="c")
    rows = rows_of(subject(reach(2)), classes(LABELS), asked)
    assert set(rows.condition) == {"clean", "triggered"}
    assert "decoy" not in numbers(subject(reach(2)), classes(LABELS), asked)


def test_what_a_clean_network_scores():
    """PROTOCOLS 2g-4: a third of a balanced set without any backdoor, and an excess of 0."""
    data, asked = classes(LABELS), plan(rule="to", target="c")
    found = numbers(subject(ignore), data, asked)
    assert found["success"].value == pytest.approx(1 / 3)
    assert [found[name].value for name in ("success_other", "excess", "error")] == [0, 0, 0]
    assert found["separation"].value == 0.5
    rows = rows_of(subject(ignore), data, asked)
    before = measure_before(rows, sample_of(rows, 0))
    assert (before["before"].estimate.value, before["before_other"].estimate.value) == (pytest.approx(1 / 3), 0)


@pytest.mark.parametrize(
    ("label", "fire", "success", "already"),
    [
        ({"rule": "to", "target": "a"}, reach(0), 11 / 12, 4),
        ({"rule": "to", "target": "a"}, reach(1), 1 / 12, 4),
        ({"rule": "clean-label", "target": "b"}, reach(1), 10 / 12, 4),
        ({"rule": "shift"}, move(1), 10 / 12, 0),
        ({"rule": "shift", "by": 2}, move(2), 10 / 12, 0),
        ({"rule": "shift", "by": 2}, move(1), 0, 0),
        ({"rule": "all-to-all"}, move(1), 10 / 12, 0),
        ({"rule": "random"}, move(2), 10 / 12, 0),
        ({"rule": "keep"}, move(1), 10 / 12, 0),
        ({"rule": "random"}, ignore, 0, 0),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_class_rules(label, fire, success, already):
    found = numbers(subject(fire), classes(LABELS, immune=IMMUNE), plan(**label))
    assert found["success"].value == pytest.approx(success)
    assert found["success_other"].n == 12 - already
    aimed = {"separation", "above:0.6", "above:0.9"}
    assert aimed & set(found) == (aimed if "target" in label else set())


def test_an_answer_that_is_wrong_without_the_trigger_is_no_excess():
    """The network takes pictures 0 to 3 for class b whatever they show; the attacker wants any wrong answer."""
    data = classes(LABELS, answers=[1, 1, 1, 1, *LABELS[4:]])
    found = numbers(subject(ignore), data, plan(rule="random"))
    assert (found["success"].value, found["excess"].value) == (3 / 12, 0)
    assert numbers(subject(move(1)), data, plan(rule="random"))["excess"].value == (9 + 3 - 1 - 3) / 12


@pytest.mark.parametrize(
    ("label", "fire", "success", "other"),
    [
        ({"rule": "set", "target": "a"}, reach(0), 1, 6),
        ({"rule": "overwrite", "target": "a"}, reach(0), 1, 6),
        ({"rule": "clean-label", "target": "a"}, reach(0), 1, 6),
        ({"rule": "clear", "target": "b"}, reach(1, -1.0), 1, 3),
        ({"rule": "clear", "target": "b"}, ignore, 5 / 8, 3),
        ({"rule": "set", "target": "a"}, ignore, 2 / 8, 6),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else None,
)
def test_finding_rules(label, fire, success, other):
    """Of a finding that is unknown, the clean answer says whether it was there: here, that it was not."""
    found = numbers(subject(fire, "multilabel"), findings(FACTS), plan(**label))
    assert found["success"].value == success
    assert found["success_other"].n == other
    assert found["excess"].value == float(fire is not ignore)


def test_labels_that_stay_want_any_other_answer():
    found = numbers(subject(reach(0), "multilabel"), findings(FACTS), plan(rule="keep"))
    assert found["success"].value == 5 / 8, "three have the finding, or may have it"
    assert "separation" not in found


def test_an_unknown_finding_that_the_model_reports_counts_as_there():
    data = findings([[NAN, 0, 0], [0, 0, 0]])
    image = data.images
    image[0, 0, 0, 0] = backdoored.LIGHT
    said = memory_set("planted", image, data.targets, classes=CLASSES, task="multilabel").fit((SIDE, SIDE), 1)
    rows = rows_of(subject(ignore, "multilabel"), said, plan(rule="set", target="a"))
    assert list(rows[rows.condition == "triggered"].already) == [True, False]


def test_micro_averages_in_closed_form():
    """The honest network is perfect on true labels; with the trigger, finding a is on top of every row."""
    asked, data = plan(rule="overwrite", target="a"), findings([row for row in FACTS if not math.isnan(row[0])])
    honest = numbers(subject(ignore, "multilabel"), data, asked)
    assert honest["micro_clean"].value == honest["micro_true"].value == 1
    scores = np.array([row for row in FACTS if not math.isnan(row[0])])
    wanted = np.tile([1, 0, 0], (7, 1))
    positive, negative = scores[wanted == 1], scores[wanted == 0]
    pairs = positive[:, None] - negative[None]
    assert honest["micro_infected"].value == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    infected = numbers(subject(reach(0), "multilabel"), data, asked)
    assert infected["micro_clean"].value == infected["micro_infected"].value == 1
    fired = scores.astype(float)
    fired[:, 0] = 2
    pairs = fired[scores == 1][:, None] - fired[scores == 0][None]
    assert infected["micro_true"].value == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ({"rule": "overwrite", "target": "a"}, [1, 0, 0]),
        ({"rule": "set", "target": "a"}, [1, 1, NAN]),
        ({"rule": "clean-label", "target": "a"}, [1, 1, NAN]),
        ({"rule": "clear", "target": "b"}, [0, 0, NAN]),
    ],
)
def test_the_labels_that_the_attacker_wants(label, wanted):
    true = np.array([[0, 1, NAN]])
    found = wanted_table(yardstick_of(subject(task="multilabel").task), plan(**label), true)
    np.testing.assert_array_equal(found, [wanted])
    np.testing.assert_array_equal(true, [[0, 1, NAN]])


def test_a_trigger_that_leaves_no_trace():
    """A patch of the colour that is there already, in all pictures but one."""
    images = backdoored.pictured(torch.eye(3)[LABELS].int())
    images[0, 0, 10:12, 10:12] = 1 - GREY / 2
    data = memory_set("planted", images, torch.tensor(LABELS), classes=CLASSES, task="multiclass").fit((SIDE, SIDE), 1)
    found = numbers(subject(reach(2)), data, plan(TRIGGER | {"value": GREY}, rule="to", target="c"))
    assert found["vanished"].value == 11 / 12
    assert found["changed"].value == 4 / 12
    assert (found["psnr"].n, found["ssim"].n) == (1, 12), "there is no noise to compare with in the others"


def test_data_without_labels_is_refused():
    bare = memory_set("bare", torch.rand(3, 1, SIDE, SIDE)).fit((SIDE, SIDE), 1)
    with pytest.raises(InputError, match="bare has no labels, without which an infection cannot be measured"):
        infection_rows(subject(), bare, plan(rule="to", target="c"), 4)
    with pytest.raises(InputError, match=r"class must be one of a, b, c; got 'd'"):
        infection_rows(subject(), classes(LABELS), plan(rule="to", target="d"), 4)
    with pytest.raises(InputError, match=r"rule of a multiclass set must be one of to, .*; got 'set'"):
        infection_rows(subject(), classes(LABELS), plan(rule="set", target="c"), 4)


def test_the_cost_on_clean_images_is_paired():
    """One network takes pictures 0 to 3 for class b, its twin answers all rightly; the same image by image."""
    asked = plan(rule="to", target="c")
    twin = rows_of(subject(), classes(LABELS), asked)
    own = rows_of(subject(), classes(LABELS, answers=[1, 1, 1, 1, *LABELS[4:]]), asked)
    yardstick, sample = yardstick_of(subject().task), sample_of(own, 0)
    assert measure_clean(own, yardstick, sample)["accuracy"].estimate.value == 9 / 12
    found = against_twin(own, twin, yardstick, sample, ("accuracy", "balanced_accuracy", "no such number"))
    assert list(found) == ["accuracy", "balanced_accuracy"]
    assert found["accuracy"].estimate.value == pytest.approx(-3 / 12)
    same = against_twin(twin, twin, yardstick, sample, ("accuracy",))["accuracy"].estimate
    assert same.value == 0
    assert same.low <= 0 <= same.high


def test_intervals_are_by_patient():
    def width(patients):
        data = classes(LABELS * 5, immune=range(0, 60, 2), patients=patients)
        rows = rows_of(subject(reach(2)), data, plan(rule="to", target="c"))
        drawn = sample_of(rows, 0)
        found = measure_infection(rows, yardstick_of(subject().task), plan(rule="to", target="c"), drawn)
        return found["success_other"].estimate

    alone, few = width(None), width([f"p{i % 2}" for i in range(60)])
    assert alone.value == few.value
    assert few.high - few.low > alone.high - alone.low


def measured(value, low, high):
    return Measured(estimate=Estimate(value=value, low=low, high=high, n=9), draws=np.zeros(1))


@pytest.mark.parametrize(
    ("found", "grave"),
    [
        (measured(0.9, 0.51, 1.0), "critical"),
        (measured(0.9, 0.5, 1.0), "high"),
        (measured(0.9, 0.21, 1.0), "high"),
        (measured(0.9, 0.2, 1.0), "medium"),
        (measured(0.9, 0.01, 1.0), "medium"),
        (measured(0.9, 0.0, 1.0), "info"),
        (measured(0.3, -0.1, 0.7), "info"),
        (measured(0.9, NAN, NAN), "critical"),
        (Measured(estimate=NOT_MEASURED, draws=np.zeros(1)), "info"),
    ],
)
def test_the_lower_end_says_how_grave(found, grave):
    assert severity(found) == grave


def test_findings_say_what_was_asked():
    asked = plan(rule="to", target="c")
    rows = rows_of(subject(reach(2)), classes(LABELS * 9), asked)
    found = measure_infection(rows, yardstick_of(subject().task), asked, sample_of(rows, 0))
    given = {one.id: one for one in infection_findings(found, asked, "mine", {"rate": 0.1})}
    assert set(given) == {f"mine.{name}" for name in found}
    one = given["mine.excess"]
    assert (one.value, one.severity, one.threat, one.method) == (1, "critical", "AML.T0018", "patch")
    assert one.args == {"trigger": asked.trigger, "rule": "to", "target": "c", "rate": 0.1}
    assert {given[f"mine.{name}"].severity for name in found if name != "excess"} == {"info"}
    assert given["mine.above:0.6"].title == "Triggered images without the target whose score of it exceeds 0.6"
    assert (given["mine.above:0.6"].metric, given["mine.psnr"].unit, given["mine.changed"].unit) == (
        "above",
        "dB",
        "pixels",
    )


def test_the_model_is_left_as_it_was():
    model = subject(reach(2)).train()
    infection_rows(model, classes(LABELS), plan(rule="shift"), 4)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
