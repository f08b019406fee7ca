"""Everything about one set of predictions, by name."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import differences, resample
from aseptic.metrics.summary import Predictions, measure, summarise

COMMON = {"accuracy", "balanced_accuracy", "auroc_macro", "ece", "brier", "nll"}
BY_CLASS = {"auroc", "sensitivity", "specificity"}


def multiclass(seed=0, n=90, classes=("a", "b", "c")):
    rng = numpy_stream(seed, "multiclass")
    targets = np.arange(n) % 3
    logits = rng.normal(size=(n, len(classes))) + 1.5 * np.eye(len(classes))[targets]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Predictions(task="multiclass", classes=classes, scores=scores, decisions=scores.argmax(1), targets=targets)


def multilabel(seed=0, n=80, names=("x", "y")):
    rng = numpy_stream(seed, "multilabel")
    targets = (rng.random((n, len(names))) < 0.4).astype(float)
    scores = 1 / (1 + np.exp(-(rng.normal(size=targets.shape) + 2 * targets - 1)))
    targets[rng.random(targets.shape) < 0.2] = np.nan
    return Predictions(
        task="multilabel", classes=names, scores=scores, decisions=(scores > 0.5).astype(float), targets=targets
    )


def test_multiclass_agrees_with_scikit_learn():
    given = multiclass()
    found = summarise(given, None, rng=numpy_stream(0))
    assert set(found) == COMMON | {f"{kind}:{name}" for kind in BY_CLASS for name in "abc"}
    assert found["accuracy"].value == pytest.approx((given.decisions == given.targets).mean())
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(given.targets, given.decisions))
    oracle = roc_auc_score(given.targets, given.scores, multi_class="ovr")
    assert found["auroc_macro"].value == pytest.approx(oracle)
    assert found["sensitivity:b"].n == 30
    assert found["specificity:b"].n == 60
    assert all(number.low <= number.value <= number.high for number in found.values())


def test_multilabel_skips_what_is_unknown():
    given = multilabel()
    found = summarise(given, None, rng=numpy_stream(0))
    assert set(found) == COMMON | {"accuracy_findings"} | {f"{kind}:{name}" for kind in BY_CLASS for name in "xy"}
    known = ~np.isnan(given.targets)
    areas = [roc_auc_score(given.targets[known[:, k], k], given.scores[known[:, k], k]) for k in range(2)]
    assert found["auroc:x"].value == pytest.approx(areas[0])
    assert found["auroc:x"].n == known[:, 0].sum()
    assert found["auroc_macro"].value == pytest.approx(np.mean(areas))
    assert found["accuracy_findings"].value == pytest.approx((given.decisions == given.targets)[known].mean())
    assert found["accuracy"].n == known.any(1).sum()
    parts = [found[f"{kind}:{name}"].value for kind in ("sensitivity", "specificity") for name in "xy"]
    assert found["balanced_accuracy"].value == pytest.approx(np.mean(parts))


def test_a_class_without_images_is_not_measured():
    given = multiclass(classes=("a", "b", "c", "never"))
    found = summarise(given, None, rng=numpy_stream(0))
    assert found["auroc:never"] is NOT_MEASURED
    assert found["sensitivity:never"] is NOT_MEASURED
    assert found["specificity:never"].n == 90
    assert found["auroc_macro"].value == pytest.approx(np.mean([found[f"auroc:{name}"].value for name in "abc"]))
    assert found["balanced_accuracy"].value == pytest.approx(
        np.mean([found[f"sensitivity:{name}"].value for name in "abc"])
    )


def test_a_finding_that_nobody_looked_for_is_not_measured():
    given = multilabel()
    given.targets[:, 1] = np.nan
    found = summarise(given, None, rng=numpy_stream(0))
    assert all(found[f"{kind}:y"] is NOT_MEASURED for kind in BY_CLASS)
    assert found["auroc_macro"].value == found["auroc:x"].value


def test_no_images_give_no_numbers():
    empty = Predictions(
        task="multiclass",
        classes=("a", "b"),
        scores=np.zeros((0, 2)),
        decisions=np.zeros(0, dtype=int),
        targets=np.zeros(0, dtype=int),
    )
    assert all(not number.known and number.n == 0 for number in summarise(empty, [], rng=numpy_stream(0)).values())


def test_patients_widen_the_intervals():
    given = multiclass()
    repeated = Predictions(
        task="multiclass",
        classes=given.classes,
        scores=given.scores.repeat(4, 0),
        decisions=given.decisions.repeat(4),
        targets=given.targets.repeat(4),
    )
    alone = summarise(repeated, None, rng=numpy_stream(0))
    grouped = summarise(repeated, [str(row // 4) for row in range(360)], rng=numpy_stream(0))
    for name in ("accuracy", "auroc_macro", "brier"):
        assert grouped[name].value == alone[name].value
        assert grouped[name].high - grouped[name].low > 1.5 * (alone[name].high - alone[name].low)


def test_two_conditions_are_compared_pairwise():
    first, second = multiclass(0), multiclass(0)
    second.decisions[:9] = (second.decisions[:9] + 1) % 3
    drawn = resample(None, 90, rng=numpy_stream(0))
    before, after = measure(first, drawn), measure(second, drawn)
    found = differences(after, before, drawn)
    change = (second.decisions == second.targets).mean() - (first.decisions == first.targets).mean()
    assert found["accuracy"].value == pytest.approx(change)
    paired = found["accuracy"].high - found["accuracy"].low
    assert paired < after["accuracy"].estimate.high - after["accuracy"].estimate.low
    assert found["auroc:a"].value == found["auroc:a"].low == found["auroc:a"].high == 0, "the scores are the same"


@pytest.mark.parametrize("make", [multiclass, multilabel])
def test_the_same_stream_gives_the_same_numbers(make):
    assert summarise(make(), None, rng=numpy_stream(5)) == summarise(make(), None, rng=numpy_stream(5))


def test_refuses_predictions_that_do_not_belong_together():
    good = multiclass(n=3)
    facts = {name: getattr(good, name) for name in ("task", "classes", "scores", "decisions", "targets")}
    wrong = [
        ({"task": "regression"}, "task must be one of multiclass, multilabel; got 'regression'"),
        ({"classes": ("a", "b")}, "scores must have 2 columns, one for each class, got 3"),
        ({"targets": np.zeros((3, 3))}, r"targets must be whole numbers \[3\], got float64 \[3, 3\]"),
        ({"task": "multilabel"}, r"decisions must be floating-point numbers \[3, 3\], got int64 \[3\]"),
        ({"scores": good.scores * 3}, r"scores must be probabilities in \[0, 1\]"),
        ({"scores": good.scores * np.nan}, r"scores must be probabilities in \[0, 1\]"),
    ]
    for change, message in wrong:
        with pytest.raises(InputError, match=message):
            Predictions(**(facts | change))
