"""Goals and losses: against torch's own losses, margins against decisions, operating points, unknown findings."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.tasks.make import GOALS, TASKS, make_task, parse_goal, untargeted
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Inject, Suppress

NAMES = ("a", "b", "c")
few = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 100_000)
offsets = st.sampled_from([(), (0.0, 0.0, 0.0), (0.7, -1.2, 0.1)])


def logits_of(seed, n=6):
    return torch.randn(n, 3, generator=stream(seed, "logits")) * 3


def classes_of(seed, n=6):
    return torch.randint(0, 3, (n,), generator=stream(seed, "classes"))


def findings_of(seed, n=6, *, unknown=True):
    findings = torch.randint(0, 2, (n, 3), generator=stream(seed, "findings")).float()
    hidden = torch.rand(n, 3, generator=stream(seed, "hidden")) < 0.3
    return findings.masked_fill(hidden, torch.nan) if unknown else findings


@few
@given(seed=seeds)
def test_losses_are_those_of_torch(seed):
    logits, classes, findings = logits_of(seed), classes_of(seed), findings_of(seed, unknown=False)
    own = make_task("multiclass", NAMES).loss(logits, classes)
    torch.testing.assert_close(own.mean(), F.cross_entropy(logits, classes))
    own = make_task("multilabel", NAMES).loss(logits, findings)
    torch.testing.assert_close(own.mean(), F.binary_cross_entropy_with_logits(logits, findings))


@few
@given(seed=seeds)
def test_unknown_findings_never_count(seed):
    task, logits, findings = make_task("multilabel", NAMES), logits_of(seed), findings_of(seed)
    other = torch.where(findings.isnan(), logits + 100 * torch.randn(logits.shape, generator=stream(seed)), logits)
    for measure in (task.loss, task.correct, partial(FlipAll().margin, task), partial(FlipAll().objective, task)):
        torch.testing.assert_close(measure(logits, findings), measure(other, findings))
    leaf = logits.clone().requires_grad_()
    known = (~findings.isnan()).any(1)
    value = task.loss(leaf, findings) + torch.where(known, FlipAll().margin(task, leaf, findings), 0)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    assert (gradient[findings.isnan()] == 0).all()
    assert gradient[~findings.isnan()].isfinite().all()


def test_an_image_of_which_nothing_is_known():
    task, nothing = make_task("multilabel", NAMES), torch.full((1, 3), torch.nan)
    assert task.loss(torch.ones(1, 3), nothing).tolist() == [0.0]
    assert task.correct(torch.ones(1, 3), nothing).tolist() == [True]
    assert FlipAll().applies(task, nothing).tolist() == [False]


@few
@given(seed=seeds, point=offsets)
def test_multiclass_margins_are_positive_exactly_where_the_goal_is_reached(seed, point):
    task, logits, truth = make_task("multiclass", NAMES, point), logits_of(seed), classes_of(seed)
    decided = task.decide(logits)
    assert torch.equal(Avoid().margin(task, logits, truth) > 0, decided != truth)
    assert torch.equal(Reach(name="b").margin(task, logits, truth) > 0, decided == 1)
    assert torch.equal(task.correct(logits, truth), decided == truth)


@few
@given(seed=seeds, point=offsets)
def test_multilabel_margins_are_positive_exactly_where_the_goal_is_reached(seed, point):
    task, logits, truth = make_task("multilabel", NAMES, point), logits_of(seed), findings_of(seed)
    decided = task.decide(logits)
    assert torch.equal(Suppress(name="a").margin(task, logits, truth) > 0, decided[:, 0] == 0)
    assert torch.equal(Inject(name="c").margin(task, logits, truth) > 0, decided[:, 2] == 1)
    wrong = ((decided != truth) | truth.isnan()).all(1)
    assert torch.equal(FlipAll().margin(task, logits, truth) > 0, wrong)


@pytest.mark.parametrize(
    ("goal", "truth"),
    [
        (Avoid(), torch.tensor([0, 2])),
        (Reach(name="b"), torch.tensor([0, 2])),
        (Suppress(name="a"), torch.tensor([[1.0, 0.0, 1.0], [1.0, torch.nan, 0.0]])),
        (Inject(name="c"), torch.tensor([[1.0, 0.0, 0.0], [1.0, torch.nan, 0.0]])),
        (FlipAll(), torch.tensor([[1.0, 0.0, 1.0], [1.0, torch.nan, 0.0]])),
    ],
    ids=repr,
)
def test_climbing_the_objective_reaches_the_goal(goal, truth):
    task, logits = make_task(goal.task, NAMES, (0.5, -0.5, 1.0)), torch.zeros(2, 3, requires_grad=True)
    assert goal.applies(task, truth).all()
    for _ in range(50):
        before = goal.objective(task, logits, truth)
        (gradient,) = torch.autograd.grad(before.sum(), logits)
        logits = (logits + gradient).detach().requires_grad_()
        assert (goal.objective(task, logits, truth) > before).all()
    assert (goal.margin(task, logits, truth) > 0).all()


def test_an_operating_point_moves_the_decision():
    logits = torch.tensor([[1.0, 0.8, 0.0]])
    assert make_task("multiclass", NAMES).decide(logits).tolist() == [0]
    assert make_task("multiclass", NAMES, (0.5, 0.0, 0.0)).decide(logits).tolist() == [1]
    assert make_task("multilabel", NAMES).decide(logits).tolist() == [[1, 1, 0]]
    assert make_task("multilabel", NAMES, (0.0, 0.9, -0.1)).decide(logits).tolist() == [[1, 0, 1]]
    torch.testing.assert_close(make_task("multiclass", NAMES, (9.0, 0.0, 0.0)).scores(logits), logits.softmax(1))
    torch.testing.assert_close(make_task("multilabel", NAMES, (9.0, 0.0, 0.0)).scores(logits), logits.sigmoid())


def test_goals_apply_where_they_make_sense():
    task, truth = make_task("multilabel", NAMES), torch.tensor([[1.0, 0.0, torch.nan]])
    assert [Suppress(name=name).applies(task, truth).item() for name in NAMES] == [True, False, False]
    assert [Inject(name=name).applies(task, truth).item() for name in NAMES] == [False, True, False]
    task = make_task("multiclass", NAMES)
    assert Reach(name="b").applies(task, torch.tensor([0, 1, 2])).tolist() == [True, False, True]
    assert Avoid().applies(task, torch.tensor([0, 1, 2])).all()


def test_goals_say_what_they_are():
    words = [goal.describe() for goal in (Avoid(), Reach(name="b"), Suppress(name="a"), Inject(name="c"), FlipAll())]
    assert words == ["avoid the true class", "reach 'b'", "suppress 'a'", "inject 'c'", "flip every finding"]


def test_every_task_has_its_goals():
    assert GOALS.keys() == TASKS.keys()
    for name, kinds in GOALS.items():
        assert all(kind.task == name for kind in kinds)
        assert type(untargeted(make_task(name, NAMES))) in kinds


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: make_task("ranking", NAMES),
            "task must be one of detection, multiclass, multilabel, segment.*; got 'ranking'",
        ),
        (lambda: make_task("multiclass", ["a"]), r"a multiclass task needs at least 2 classes, got \['a'\]"),
        (lambda: make_task("multilabel", []), r"a multilabel task needs at least 1 classes, got \[\]"),
        (lambda: make_task("multiclass", ["a", "a"]), r"class names must be distinct, got \['a', 'a'\]"),
        (lambda: make_task("multiclass", NAMES, (0.1,)), "offsets must have one value for each of 3 outputs, got 1"),
        (lambda: make_task("multiclass", NAMES).output("z"), "class must be one of a, b, c; got 'z'"),
    ],
)
def test_refuses_tasks_without_meaning(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("task", "targets", "message"),
    [
        ("multiclass", torch.tensor([0, 3]), r"targets must lie in 0..2, got 0..3"),
        ("multiclass", torch.tensor([-1, 0]), r"targets must lie in 0..2, got -1..0"),
        (
            "multiclass",
            torch.zeros(2, 3),
            r"multiclass targets must be whole numbers \[N\], got torch.float32 \[2, 3\]",
        ),
        ("multilabel", torch.zeros(2, 2), r"multilabel targets must be numbers \[N, 3\], got torch.float32 \[2, 2\]"),
        ("multilabel", torch.tensor([0, 1]), r"multilabel targets must be numbers \[N, 3\], got torch.int64 \[2\]"),
        ("multilabel", torch.full((1, 3), 0.5), r"multilabel targets must be 0, 1 or NaN \(unknown\)"),
    ],
)
def test_refuses_targets_of_another_task(task, targets, message):
    with pytest.raises(InputError, match=message):
        make_task(task, NAMES).check_targets(targets)


def test_accepts_targets_of_the_task():
    make_task("multiclass", NAMES).check_targets(torch.tensor([0, 2]))
    make_task("multiclass", NAMES).check_targets(torch.zeros(0, dtype=torch.long))
    make_task("multilabel", NAMES).check_targets(torch.tensor([[0.0, 1.0, torch.nan]]))


def test_goals_are_read_from_words():
    classes, findings = make_task("multiclass", NAMES), make_task("multilabel", NAMES)
    assert parse_goal("untargeted", classes) == Avoid()
    assert parse_goal("reach:b", classes) == Reach(name="b")
    assert parse_goal("untargeted", findings) == FlipAll()
    assert parse_goal("suppress:a", findings) == Suppress(name="a")
    assert parse_goal("inject:c", findings) == Inject(name="c")


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        ("reach:z", "multiclass", "class must be one of a, b, c; got 'z'"),
        ("reach", "multiclass", "class must be one of a, b, c; got ''"),
        ("suppress:a", "multiclass", "multiclass model must be one of untargeted, reach:NAME; got 'suppress:a'"),
        ("reach:a", "multilabel", "must be one of untargeted, suppress:NAME, inject:NAME; got 'reach:a'"),
        ("untargeted:a", "multiclass", "must be one of untargeted, reach:NAME; got 'untargeted:a'"),
    ],
)
def test_refuses_words_that_are_no_goal(text, task, message):
    with pytest.raises(InputError, match=message):
        parse_goal(text, make_task(task, NAMES))
