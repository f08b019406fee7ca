"""What each interface shows and hides, and how questions are counted."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from nets import answers, batch_of, net, pictures

from aseptic.attacks import PGD, EvasionAttack, Flag, Gradients, LabelOnly, Scores, Threat, run
from aseptic.attacks.base import Counted
from aseptic.attacks.interfaces import parse_interface
from aseptic.core.errors import ContractError, InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.make import make_task
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Inject, Suppress

NAMES = ("a", "b", "c")
TASKS = pytest.mark.parametrize("name", ["multiclass", "multilabel"])
OFFSETS = pytest.mark.parametrize("offsets", [(), (0.7, -1.2, 0.1)], ids=["zero", "operating-point"])


def logits_of(seed=0, n=200):
    return 3 * torch.randn(n, 3, generator=stream(seed, "logits"))


def printed(task, logits):
    """Return the probabilities that shown logits stand for."""
    return logits.exp() if task.name == "multiclass" else logits.sigmoid()


@TASKS
@OFFSETS
def test_gradients_show_the_logits_themselves(name, offsets):
    logits = logits_of()
    assert Gradients().show(make_task(name, NAMES, offsets), logits) is logits


@TASKS
@OFFSETS
def test_scores_show_probabilities_and_nothing_behind_them(name, offsets):
    task, logits = make_task(name, NAMES, offsets), logits_of()
    shown = Scores().show(task, logits)
    torch.testing.assert_close(printed(task, shown), task.scores(logits))
    assert torch.equal(task.decide(shown), task.decide(logits)), "the operating point is the task's"
    if name == "multiclass":
        other = logits + torch.randn(200, 1, generator=stream(1))
        torch.testing.assert_close(shown, Scores().show(task, other), rtol=0, atol=2e-6)


@TASKS
@OFFSETS
@pytest.mark.parametrize("decimals", [0, 1, 2, 3, 6])
def test_rounded_scores_are_the_printed_ones(name, offsets, decimals):
    task, logits = make_task(name, NAMES, offsets), logits_of()
    seen = printed(task, Scores(decimals=decimals).show(task, logits).double())
    expected = task.scores(logits).double().mul(10**decimals).round() / 10**decimals
    torch.testing.assert_close(seen, expected, rtol=0, atol=0.3 * 10.0**-decimals)  # 0 and 1 have a finite stand-in
    inner = (expected > 0) & (expected < 1)
    torch.testing.assert_close(seen[inner], expected[inner], rtol=1e-6, atol=1e-6)
    order = expected[:, 0] - expected[:, 1]
    shown = seen[:, 0] - seen[:, 1]
    assert torch.equal(order.sign(), shown.sign()), "what is printed differently is seen differently, and nothing else"


def test_scores_without_decimals_still_tell_yes_from_no():
    task = make_task("multilabel", NAMES)
    shown = Scores(decimals=0).show(task, torch.tensor([[-0.3, 0.3, 5.0]]))
    assert shown[0, 0] < 0 < shown[0, 1]
    assert shown[0, 1] == shown[0, 2]


@pytest.mark.parametrize("decimals", [-1, 7])
def test_refuses_decimals_that_a_float_does_not_have(decimals):
    with pytest.raises(InputError, match=rf"decimals must lie in 0..6 or be None, got {decimals}"):
        Scores(decimals=decimals)


@TASKS
@OFFSETS
def test_label_only_shows_the_decision_and_hides_the_rest(name, offsets):
    task, logits = make_task(name, NAMES, offsets), logits_of()
    shown = LabelOnly().show(task, logits)
    assert torch.equal(task.decide(shown), task.decide(logits))
    torch.testing.assert_close(task.shift(shown).abs(), torch.ones_like(shown))  # 1 above or below
    assert len(shown.unique(dim=0)) == (3 if name == "multiclass" else 8)


@OFFSETS
@pytest.mark.parametrize("goal", [Avoid(), Reach(name="b"), Suppress(name="a"), Inject(name="c"), FlipAll()], ids=repr)
@pytest.mark.parametrize("interface", [Gradients(), Scores(), LabelOnly()], ids=repr)
def test_what_is_seen_as_reached_is_reached(offsets, goal, interface):
    task, logits = make_task(goal.task, NAMES, offsets), logits_of()
    targets = torch.arange(200) % 3
    if goal.task == "multilabel":
        targets = (logits_of(1) > 0).float()
        targets[::2, 1] = torch.nan
    seen = goal.margin(task, interface.show(task, logits), targets) > 0
    assert torch.equal(seen, goal.margin(task, logits, targets) > 0)
    assert 0 < seen.sum() < len(seen)


@TASKS
@OFFSETS
def test_a_flag_shows_one_output_against_its_own_threshold(name, offsets):
    task, logits = make_task(name, NAMES, offsets), logits_of()
    shown = task.shift(Flag(name="b", threshold=0.2).show(task, logits))
    raised = task.scores(logits)[:, 1] > 0.2
    torch.testing.assert_close(shown[:, 1], torch.where(raised, 1.0, -1.0))
    torch.testing.assert_close(shown[:, ::2], torch.zeros(200, 2))  # nothing is said of the others
    assert 0 < raised.sum() < 200


def test_a_flag_on_a_class_tells_when_the_class_is_left():
    task = make_task("multiclass", NAMES)
    shown = Flag(name="b").show(task, torch.tensor([[0.0, 5.0, 0.0], [5.0, 0.0, 0.0]]))
    assert (Avoid().margin(task, shown, torch.tensor([1, 1])) > 0).tolist() == [False, True]
    assert (Reach(name="b").margin(task, shown, torch.tensor([0, 0])) > 0).tolist() == [True, False]


@pytest.mark.parametrize("threshold", [0, 1, -0.2, math.nan])
def test_refuses_thresholds_that_are_no_probability(threshold):
    with pytest.raises(InputError, match=r"threshold must lie in \(0, 1\), got"):
        Flag(name="a", threshold=threshold)


def test_a_flag_names_an_output_of_the_task():
    with pytest.raises(InputError, match="class must be one of a, b, c; got 'z'"):
        Flag(name="z").show(make_task("multiclass", NAMES), logits_of())


def test_interfaces_say_what_they_show():
    said = [each.describe() for each in (Gradients(), Scores(), Scores(decimals=2), LabelOnly(), Flag(name="a"))]
    assert said == [
        "the network itself, with gradients",
        "scores",
        "scores to 2 decimals",
        "the decision only",
        "a flag for 'a' above 0.5",
    ]


class Bright(torch.nn.Module):
    """Says yes to images whose left column is brighter than mid-grey."""

    def forward(self, images):
        score = images[..., 0].flatten(1).mean(1) - 0.5
        return torch.stack([torch.zeros_like(score), score], 1)


def bright():
    return Subject(Bright(), task="multiclass", classes=["no", "yes"], channels=1)


def asked(queries=None, radius=0.1, n=3):
    """Return the counted model with an open batch of grey images, on the boundary."""
    counted, images = Counted(bright()), torch.full((n, 1, 2, 2), 0.5)
    threat = Threat(Avoid(), Ball("linf", radius), LabelOnly(), queries)
    return counted, counted.open(batch_of(images, torch.ones(n, dtype=torch.long), threat)), images


def test_each_question_counts_for_its_image_alone():
    counted, ledger, images = asked(queries=5)
    counted.ask(images[[2, 0]], torch.tensor([2, 0]))
    counted.ask(images[[2]], torch.tensor([2]))
    assert ledger.asked.tolist() == [1, 0, 2]
    assert ledger.left().tolist() == [4, 5, 3]
    assert counted.forwards == 3
    assert counted.backwards == 0


def test_repeated_rows_of_one_call_are_counted_in_order():
    counted, ledger, images = asked()
    rows = torch.tensor([1, 0, 1, 1, 0])
    values = torch.tensor([0.0, 0.0, -0.05, -0.05, -0.05])
    counted.ask(images[rows] + values.reshape(-1, 1, 1, 1), rows)
    assert ledger.asked.tolist() == [2, 3, 0]
    assert ledger.first.tolist() == [2, 2, math.inf], "each image's own second question"
    counted.ask(images[rows] - 0.05, rows)
    assert ledger.first.tolist() == [2, 2, math.inf], "a later success does not move the first"


def test_success_outside_the_budget_is_not_the_first():
    counted, ledger, images = asked(radius=0.1)
    counted.ask(images - 0.2, torch.arange(3))
    assert ledger.first.tolist() == [math.inf] * 3
    counted.ask(images - 0.1, torch.arange(3))
    assert ledger.first.tolist() == [2.0] * 3, "the whole radius is inside, whatever the rounding"


def test_no_question_at_all_is_no_query():
    counted, ledger, images = asked(queries=1)
    assert counted.ask(images[:0], torch.zeros(0, dtype=torch.long)).shape == (0, 2)
    assert ledger.asked.sum() == 0


def test_asking_too_often_breaks_the_contract():
    counted, _, images = asked(queries=2)
    counted.ask(images, torch.arange(3))
    with pytest.raises(ContractError, match="at most 2 queries for each image, got 3"):
        counted.ask(images[[1, 1]], torch.tensor([1, 1]))


def test_a_device_cannot_be_asked_about_what_is_no_image():
    counted, _, images = asked()
    with pytest.raises(ContractError, match=r"only images in \[0, 1\] can be asked about, got \[-0.5, -0.5\]"):
        counted.ask(images - 1, torch.arange(3))
    with pytest.raises(ContractError, match=r"only images in \[0, 1\] can be asked about, got \[nan, nan\]"):
        counted.ask(images * math.nan, torch.arange(3))


def test_without_a_batch_there_is_nothing_to_ask():
    with pytest.raises(ContractError, match="a batch must be opened before the model is asked about its images"):
        Counted(net()).ask(pictures((1, 1, 8, 8)), torch.tensor([0]))


@pytest.mark.parametrize("interface", [Scores(), LabelOnly(), Flag(name="yes")], ids=repr)
def test_who_may_only_ask_cannot_hold_the_network(interface):
    counted, _, images = asked()
    counted.open(batch_of(images, torch.ones(3, dtype=torch.long), Threat(Avoid(), Ball("linf", 0.1), interface)))
    with pytest.raises(ContractError, match=r"the attacker sees .*, and must ask"):
        counted(images)


def test_answers_carry_no_gradient():
    counted, _, images = asked()
    assert not counted.ask(images.requires_grad_(), torch.arange(3)).requires_grad


def test_the_number_of_queries_is_checked():
    with pytest.raises(InputError, match="queries must be at least 1 or None, got 0"):
        Threat(Avoid(), Ball("linf", 0.1), queries=0)


@dataclass(frozen=True, kw_only=True)
class Shrinker(EvasionAttack):
    """Darkens all images alike, asking twice each time."""

    needs: ClassVar[str] = "decisions"

    def perturb(self, model, batch):
        images, radius = batch.images, batch.threat.budget.radius
        rows = torch.arange(len(images)).repeat(2)
        for share in (0.25, 0.5, 1.0):
            model.ask((images - share * radius).clamp(0, 1).repeat(2, 1, 1, 1), rows)
        return (images - radius).clamp(0, 1)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_run_reports_the_questions_of_each_image(batch_size):
    images = torch.full((6, 1, 2, 2), 0.5)
    images[:, :, :, 0] += torch.tensor([0.01, 0.03, 0.07, 0.2, 0.03, 0.03]).reshape(6, 1, 1)
    targets = torch.tensor([1, 1, 1, 1, 0, 1])
    threat = Threat(Reach(name="no"), Ball("linf", 0.1), LabelOnly())
    result = run(Shrinker(), bright(), images, targets, threat, batch_size=batch_size)
    assert result.queries[:4].tolist() == [1, 3, 5, math.inf]
    assert result.queries[4].isnan(), "not eligible: nothing was asked"
    assert result.success.tolist() == [True, True, True, False, False, True]
    assert result.cost.forwards == 30


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("gradients", Gradients()),
        ("scores", Scores()),
        ("scores:2", Scores(decimals=2)),
        ("label", LabelOnly()),
        ("flag:b", Flag(name="b")),
        ("flag:b:0.25", Flag(name="b", threshold=0.25)),
        ("flag:c: d", Flag(name="c: d")),
        ("flag:c: d:0.25", Flag(name="c: d", threshold=0.25)),
    ],
)
def test_an_interface_is_written_in_one_word(text, wanted):
    assert parse_interface(text, make_task("multiclass", ["a", "b", "c: d"])) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("logits", "interface must be one of gradients, scores, .*; got 'logits'"),
        ("flag", "interface must be one of .*; got 'flag'"),
        ("flag:", "interface must be one of .*; got 'flag:'"),
        ("label:a", "interface must be one of .*; got 'label:a'"),
        ("scores:two", "interface scores:DECIMALS needs a whole number, got 'scores:two'"),
        ("scores:9", r"decimals must lie in 0..6 or be None, got 9"),
        ("flag:d", "class must be one of a, b, c; got 'd'"),
        ("flag:d:0.5", "class must be one of a, b, c; got 'd'"),
        ("flag:a:half", "interface flag:NAME:THRESHOLD needs a number, got 'flag:a:half'"),
        ("flag:a:1.5", r"threshold must lie in \(0, 1\), got 1.5"),
    ],
)
def test_refuses_what_is_no_interface(text, message):
    with pytest.raises(InputError, match=message):
        parse_interface(text, make_task("multiclass", NAMES))


def test_gradients_ask_nothing():
    model, images = net(), pictures((3, 1, 8, 8))
    result = run(
        PGD(steps=1), model, images, answers(model, images).argmax(1), Threat(Avoid(), Ball("linf", 0.1), queries=1)
    )
    assert result.queries.isnan().all()


def test_an_attack_that_sees_more_than_the_attacker_is_refused():
    model, images = net(), pictures((3, 1, 8, 8))
    threat = Threat(Avoid(), Ball("linf", 0.1), Scores(decimals=2))
    with pytest.raises(InputError, match="PGD needs gradients, got an attacker who sees scores to 2 decimals"):
        run(PGD(), model, images, torch.tensor([0, 1, 2]), threat)
