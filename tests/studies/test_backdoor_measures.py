"""Every number of a backdoor from rows whose numbers are known: closed forms, and all ids that a measure names."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from backdoored import classes, findings, given, ignore, move, reach, stored, subject

from aseptic.metrics.bootstrap import mean
from aseptic.poisoning.plan import make_plan
from aseptic.studies.backdoors.measures import (
    AIMED,
    COMMON,
    LOCALISED,
    MICRO,
    SEARCHED,
    Case,
    clean,
    curve,
    infection,
    localised,
    sample_rows,
    searched,
    twin,
)
from aseptic.studies.infection.answers import infection_rows
from aseptic.studies.nwadike2021.measures import mixed
from aseptic.studies.nwadike2021.settings import SHARES

LABELS = [0, 1, 2] * 4
TRIGGER = {"name": "patch", "size": 2, "value": 1.0, "corner": 10}
TO_C = make_plan(trigger=TRIGGER, label={"rule": "to", "target": "c"})
SHIFT = make_plan(trigger=TRIGGER, label={"rule": "shift"})
SET_A = make_plan(trigger=TRIGGER, label={"rule": "overwrite", "target": "a"})
FACTS = [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]]


def case(plan=TO_C, task="multiclass", **more):
    data = classes(LABELS) if task == "multiclass" else findings(FACTS)
    return Case(**{"prefix": "net", "cell": "probe", "data": data, "plan": plan, "args": {"rate": 0.1}, **more})


def rows(fire, plan=TO_C, data=None, task="multiclass"):
    return infection_rows(subject(fire, task), data or classes(LABELS), plan, 5).to_pandas()


def values(found):
    return {name: one.value for name, one in found.items()}


def test_everything_about_one_infected_network(tmp_path):
    measure = infection(case())
    found = given(measure, stored(tmp_path, probe=rows(reach(2), data=classes(LABELS, immune=(0, 5)))))
    assert set(found) == {f"net.{name}" for name in (*COMMON, *AIMED)}
    assert found["net.success"].value == pytest.approx(11 / 12)
    assert found["net.success_other"].value == found["net.excess"].value == 7 / 8
    assert found["net.separation"].value == pytest.approx(15 / 16)
    assert found["net.excess"].severity == "critical"
    assert found["net.success"].args == {"trigger": TO_C.trigger, "rule": "to", "target": "c", "rate": 0.1}
    some = given(infection(case(), only=("success", "excess")), stored(tmp_path / "again", probe=rows(ignore)))
    assert values(some) == {"net.success": pytest.approx(1 / 3), "net.excess": 0}


def test_without_a_target_there_is_no_score_of_it(tmp_path):
    found = given(infection(case(SHIFT)), stored(tmp_path, probe=rows(move(1), SHIFT)))
    assert set(found) == {f"net.{name}" for name in COMMON}
    assert (found["net.success"].value, found["net.error"].value) == (1, 1)


def test_findings_have_micro_averages(tmp_path):
    probe = rows(reach(0), SET_A, findings(FACTS), "multilabel")
    found = given(infection(case(SET_A, "multilabel")), stored(tmp_path, probe=probe))
    assert set(found) == {f"net.{name}" for name in (*COMMON, *AIMED, *MICRO)}
    assert found["net.micro_clean"].value == found["net.micro_infected"].value == 1
    assert found["net.micro_true"].value < 1


def test_clean_images_and_the_twin(tmp_path):
    """The network is wrong on three of twelve pictures, all of class c; its twin on one, of class a."""
    wrong = [k if k != 2 or i > 8 else 0 for i, k in enumerate(LABELS)]
    other = [1, *LABELS[1:]]
    cells = stored(
        tmp_path,
        probe=rows(reach(2), data=classes(LABELS, answers=wrong)),
        twin=rows(ignore, data=classes(LABELS, answers=other)),
    )
    found = given(clean(case()), cells)
    assert found["net.clean.accuracy"].value == pytest.approx(9 / 12)
    assert found["net.clean.balanced_accuracy"].value == pytest.approx((1 + 1 + 1 / 4) / 3)
    assert found["net.clean.accuracy"].title == "Accuracy on clean images"
    assert found["net.clean.accuracy"].metric == "accuracy"
    paired = given(twin(case(), "twin"), cells)
    assert paired["net.twin.accuracy"].value == pytest.approx(-2 / 12)
    assert paired["net.twin.balanced_accuracy"].value == pytest.approx((1 / 4 - 1 + 1 - 3 / 4) / 3)
    assert paired["net.twin.accuracy"].ci_low < -2 / 12 < paired["net.twin.accuracy"].ci_high
    both = ("net.clean.auroc_macro", "net.twin.auroc_macro")
    assert set(found) | set(paired) > set(both)
    same = given(twin(case(), "twin"), stored(tmp_path / "same", probe=rows(ignore), twin=rows(ignore)))
    assert values(same) == dict.fromkeys(same, 0)


def test_clean_findings_have_a_micro_average_too(tmp_path):
    probe = rows(reach(0), SET_A, findings(FACTS), "multilabel")
    found = given(clean(case(SET_A, "multilabel")), stored(tmp_path, probe=probe))
    assert values(found) == {"net.clean.auroc_macro": 1, "net.clean.micro": 1}


def test_a_curve_has_every_epoch_and_ends_with_the_last(tmp_path):
    """The backdoor works on all, then on half of what is not of the target, then not at all."""
    immune = ((), (0, 1, 3, 4), range(12))
    parts = [rows(reach(2), data=classes(LABELS, immune=one)).assign(epoch=k) for k, one in enumerate(immune)]
    found = given(curve(case(), 2), stored(tmp_path, probe=pd.concat(parts)))
    names = ("success_other", "error", "accuracy")
    assert set(found) == {f"net.{name}@{epoch}" for name in names for epoch in range(3)} | {
        f"net.final.{name}" for name in names
    }
    assert [found[f"net.success_other@{epoch}"].value for epoch in range(3)] == [1, 0.5, 0]
    assert [found[f"net.error@{epoch}"].value for epoch in range(3)] == pytest.approx([8 / 12, 4 / 12, 0])
    assert [found[f"net.accuracy@{epoch}"].value for epoch in range(3)] == [1, 1, 1]
    assert all(found[f"net.final.{name}"].value == found[f"net.{name}@2"].value for name in names)
    one = found["net.success_other@1"]
    assert (one.metric, one.args) == ("success_other", {"rate": 0.1, "epoch": 1})
    assert (found["net.final.error"].metric, found["net.final.error"].args["epoch"]) == ("error", 2)


def explained(**columns):
    """Four images, clean and triggered, explained twice; the other explainer points nowhere."""
    parts = []
    for explainer in ("mine", "other"):
        for at, condition in enumerate(("clean", "triggered")):
            part = {name: pair[at] if explainer == "mine" else [math.nan] * 4 for name, pair in columns.items()}
            facts = {"id": list("wxyz"), "patient": ["p", "p", None, None]}
            parts.append(pd.DataFrame({**facts, "condition": condition, "explainer": explainer, **part}))
    return pd.concat(parts)


def test_where_a_map_looks(tmp_path):
    frame = explained(
        hit=([0, 0, 0, 1], [1, 1, 1, 1]),
        overlap=([0, 0, 0, 0], [1, 0.5, 0.5, 0]),
        mass=([0.1, 0.1, 0.1, 0.1], [0.9, 0.5, 0.5, math.nan]),
        uniform=([0.04] * 4, [0.04] * 4),
    )
    cells = stored(tmp_path, probe=frame)
    found = values(given(localised(case(), "mine"), cells))
    assert found == {
        "net.hit:mine": 1,
        "net.overlap:mine": 0.5,
        "net.mass:mine": pytest.approx(1.9 / 3),
        "net.uniform:mine": pytest.approx(0.04),
        "net.hit_gain:mine": 0.75,
        "net.mass_gain:mine": pytest.approx(1.9 / 3 - 0.1),
    }
    assert set(found) == {f"net.{name}:mine" for name in LOCALISED}
    nowhere = values(given(localised(case(), "other"), cells))
    assert nowhere == dict.fromkeys((f"net.{name}:other" for name in LOCALISED), None), "not looked at is never 0"


def suspected(clean_scores, triggered_scores, fooled=0.5):
    sides = [("clean", clean_scores), ("triggered", triggered_scores)]
    return pd.concat(
        pd.DataFrame(
            {
                "id": [f"i{k}" for k in range(len(scores))],
                "patient": None,
                "condition": name,
                "score": scores,
                "fooled": [fooled if name == "triggered" else 1.0] * len(scores),
            }
        )
        for name, scores in sides
    )


@pytest.mark.parametrize(
    ("clean_scores", "triggered_scores", "auroc", "tpr"),
    [
        ([0.1] * 6, [0.9] * 6, 1, 1),
        ([0.9] * 6, [0.1] * 6, 0, 0),
        ([0.1, 0.2, 0.3] * 2, [0.1, 0.2, 0.3] * 2, 0.5, 0),
        ([math.nan] * 6, [0.4] * 6, 1, 1),
        ([0.1] * 6, [0.9, 0.9, 0.9, math.nan, math.nan, math.nan], 0.5, 0.5),
    ],
    ids=["perfect", "upside down", "chance", "clean ones that nobody follows", "triggered ones that nobody follows"],
)
def test_what_the_finder_finds(tmp_path, clean_scores, triggered_scores, auroc, tpr):
    """A score that is unknown, as all carriers agree with the image already, is the lowest there is."""
    found = given(searched(case()), stored(tmp_path, probe=suspected(clean_scores, triggered_scores)))
    assert set(found) == {f"net.finder.{name}" for name in SEARCHED}
    assert found["net.finder.auroc"].value == pytest.approx(auroc)
    assert found["net.finder.tpr"].value == pytest.approx(tpr)
    assert found["net.finder.fooled"].value == 0.5, "of the triggered images alone"
    assert found["net.finder.auroc"].ci_low <= auroc <= found["net.finder.auroc"].ci_high
    assert found["net.finder.auroc"].args["trigger"] == "patch"


def test_both_rows_of_an_image_are_drawn_together():
    """Otherwise an image and its triggered copy would count as two patients, and intervals would be too narrow."""
    frame = suspected([0.1] * 5, [0.9] * 5)
    frame["patient"] = ["p", "p", None, None, None] * 2
    drawn = sample_rows(frame)
    assert drawn.groups.tolist() == [0, 0, 1, 2, 3] * 2
    assert np.array_equal(drawn.weights[:, :5], drawn.weights[:, 5:])
    assert mean(np.arange(10.0), drawn).estimate.n == 10


def test_mixed_test_sets(tmp_path):
    """At a share of 1 it is the micro average on triggered images; a share that comes to none is the clean one."""
    data = findings(FACTS * 3)
    probe = rows(reach(0), SET_A, data, "multilabel")
    cells = stored(tmp_path, probe=probe)
    asked = case(SET_A, "multilabel")
    found, whole = given(mixed(asked), cells), given(infection(asked), cells)
    assert set(found) == {f"net.mixed@{share:g}" for share in SHARES}
    assert found["net.mixed@1"].value == whole["net.micro_infected"].value
    assert found["net.mixed@0.01"].value == whole["net.micro_clean"].value
    assert found["net.mixed@0.5"].args == {"rate": 0.1, "share": 0.5}
    honest = rows(ignore, SET_A, data, "multilabel")
    told = given(mixed(asked), stored(tmp_path / "honest", probe=honest))
    shares = [told[f"net.mixed@{share:g}"].value for share in SHARES]
    assert shares[0] == 1 > shares[-1], "a network without a backdoor does not answer as the attacker labels"


def test_intervals_know_the_patients(tmp_path):
    data = classes(LABELS * 4, immune=range(0, 48, 2), patients=[f"p{i % 2}" for i in range(48)])
    found = given(infection(case()), stored(tmp_path, probe=rows(reach(2), data=data)))
    alone = given(
        infection(case()),
        stored(tmp_path / "b", probe=rows(reach(2), data=classes(LABELS * 4, immune=range(0, 48, 2)))),
    )
    widths = [one["net.success_other"].ci_high - one["net.success_other"].ci_low for one in (found, alone)]
    assert widths[0] > 2 * widths[1]
    assert torch.tensor(widths).isfinite().all()
