"""`run` measures, refuses and raises: what it accepts, what it catches, and the odd cases."""

import itertools
from dataclasses import dataclass

import pytest
import torch
from nets import answers, linear, net, pictures
from torch import nn

from aseptic.attacks import FGSM, PGD, AutoAttack, EvasionAttack, Threat, control_noise, run
from aseptic.core.errors import ContractError, InputError
from aseptic.models.subject import Subject
from aseptic.ops.balls import ORDER, Ball
from aseptic.ops.windows import Window
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Suppress

THREAT = Threat(Avoid(), Ball("linf", 0.05))


@dataclass(frozen=True, kw_only=True)
class Rogue(EvasionAttack):
    """Breaks whatever promise it is told to."""

    change: object

    def perturb(self, model, batch):
        return self.change(model, batch.images)


def case(n=5, shape=(1, 8, 8)):
    model, images = net(), pictures((n, *shape))
    return model, images, answers(model, images).argmax(1) if n else torch.zeros(0, dtype=torch.long)


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=3)], ids=repr)
def test_an_empty_batch_gives_an_empty_result(attack):
    model, images, targets = case(0)
    result = run(attack, model, images, targets, THREAT)
    assert result.images.shape == (0, 1, 8, 8)
    assert result.logits.shape == (0, 3)
    assert len(result.success) == len(result.margin) == len(result.distance) == len(result.eligible) == 0
    assert (result.cost.forwards, result.cost.backwards, result.cost.seconds) == (0, 0, 0.0)


def test_results_do_not_depend_on_the_batch():
    model, images, targets = case(7)
    names = [f"p{row}" for row in range(7)]
    whole = run(PGD(), model, images, targets, THREAT, ids=names)
    small = run(PGD(), model, images, targets, THREAT, ids=names, batch_size=2)
    single = run(PGD(), model, images[3:4], targets[3:4], THREAT, ids=names[3:4])
    torch.testing.assert_close(whole.images, small.images, rtol=0, atol=1e-5)
    torch.testing.assert_close(whole.images[3:4], single.images, rtol=0, atol=1e-5)
    assert torch.equal(whole.success, small.success)
    other = run(PGD(), model, images, targets, THREAT, ids=names, seed=1)
    assert not torch.equal(whole.images, other.images)


@pytest.mark.parametrize("norm", ORDER)
@pytest.mark.parametrize("attack", [FGSM(), PGD(stop=False)], ids=repr)
def test_radius_zero_changes_nothing(norm, attack):
    model, images, targets = case()
    result = run(attack, model, images, targets, Threat(Avoid(), Ball(norm, 0.0)))
    assert torch.equal(result.images, images)
    assert not result.success.any()
    assert result.distance.max() == 0


@pytest.mark.parametrize(("norm", "radius"), [("linf", 1.0), ("linf", 3.0), ("l2", 100.0), ("l1", 1000.0)])
def test_a_huge_radius_reaches_the_corner_of_the_range(norm, radius):
    model, images = linear((1, 4, 4)), pictures((3, 1, 4, 4))
    threat = Threat(Avoid(), Ball(norm, radius))
    found = run(PGD(stop=False), model, images, torch.ones(3, dtype=torch.long), threat).images
    corner = (model.module.weight < 0).float().expand(3, -1, -1, -1)
    assert torch.equal(found, corner)


def test_ineligible_images_are_left_alone():
    model, images, targets = case()
    targets = torch.tensor([1, 0, 1, 2, 1])
    result = run(FGSM(), model, images, targets, Threat(Reach(name="b"), Ball("linf", 1.0)))
    assert result.eligible.tolist() == [False, True, False, True, False]
    assert torch.equal(result.images[~result.eligible], images[~result.eligible])
    assert not result.success[~result.eligible].any()
    assert result.cost.forwards == 2
    none = run(FGSM(), model, images, torch.ones(5, dtype=torch.long), Threat(Reach(name="b"), Ball("linf", 1.0)))
    assert not none.eligible.any()
    assert not none.success.any()
    assert none.cost.forwards == 0
    torch.testing.assert_close(none.logits, answers(model, images))


def test_what_is_reported_is_what_the_model_says():
    model, images, targets = case(8)
    result = run(PGD(), model, images, targets, THREAT)
    logits = answers(model, result.images)
    torch.testing.assert_close(result.logits, logits)
    assert torch.equal(result.success, logits.argmax(1) != targets)
    torch.testing.assert_close(result.distance, (result.images - images).abs().flatten(1).amax(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, x: (x + 0.06).clamp(0, 1), r"Rogue must stay within linf 0.05, image 'p0' is at 0.06"),
        (lambda _, x: x - 0.05, r"Rogue must stay in \[0, 1\], image 'p0' spans \[-0.0"),
        (lambda _, x: x * torch.nan, "Rogue must return finite images, image 'p0' is not"),
        (lambda _, x: x[:, :, :4], r"Rogue must return torch.float32 \[5, 1, 8, 8\], got torch.float32 \[5, 1, 4, 8\]"),
        (lambda _, x: x.double(), r"Rogue must return torch.float32 \[5, 1, 8, 8\], got torch.float64"),
        (
            lambda m, x: m.model.module.norm.running_mean.add_(1) is None or x,
            "the audited model must not change, but module.norm.running_mean did",
        ),
        (
            lambda m, x: (m.model.train() and m(x) is None) or x,
            "but module.norm.num_batches_tracked and 2 more did",
        ),
    ],
)
def test_an_attack_that_breaks_its_promise_is_caught(change, message):
    model, images, targets = case()
    with pytest.raises(ContractError, match=message):
        run(Rogue(change=change), model, images, targets, THREAT, ids=[f"p{row}" for row in range(5)])
    assert not model.training


def test_the_model_gets_its_flags_back_when_an_attack_fails():
    model, images, targets = case()
    model.train()
    model.module.norm.eval()
    model.module.head.bias.requires_grad_(requires_grad=False)
    with pytest.raises(ZeroDivisionError):
        run(Rogue(change=lambda *_: 1 // 0), model, images, targets, THREAT)
    assert model.training
    assert model.module.head.training
    assert not model.module.norm.training
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["module.head.bias"]


class Brittle(nn.Module):
    """Answers NaN for images whose mean exceeds a limit."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, images):
        score = images.flatten(1).mean(1)
        score = torch.where(score > self.limit, torch.nan, score)
        return torch.stack([score, 1 - score], 1)


@pytest.mark.parametrize(
    ("limit", "error", "message"),
    [
        (0.505, ContractError, "the model must answer with numbers, it gives NaN for image '1' once attacked"),
        (0.3, InputError, "the model must answer with numbers, it gives NaN for image '1'$"),
    ],
)
def test_a_model_that_answers_nan_is_named(limit, error, message):
    model = Subject(Brittle(limit), task="multiclass", classes=["no", "yes"], channels=1)
    images = torch.stack([torch.full((1, 4, 4), 0.2), torch.full((1, 4, 4), 0.5)])
    raise_mean = Rogue(change=lambda _, x: x + 0.01)
    with pytest.raises(error, match=message):
        run(raise_mean, model, images, torch.tensor([1, 0]), THREAT)


def test_a_wrong_number_of_outputs_is_named():
    model = Subject(net(outputs=3).module, task="multiclass", classes=["no", "yes"], channels=1)
    with pytest.raises(InputError, match=r"one logit for each image and class \[2, 2\], got \[2, 3\]"):
        run(FGSM(), model, pictures((2, 1, 8, 8)), torch.tensor([0, 1]), THREAT)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((2, 1, 8, 8), 2.0), r"images must lie in \[0, 1\], image '0' spans \[2, 2\]"),
        (torch.full((2, 1, 8, 8), -0.5), r"images must lie in \[0, 1\], image '0' spans \[-0.5, -0.5\]"),
        (torch.full((2, 1, 8, 8), torch.nan), "images must be finite, image '0' is not"),
        (torch.zeros(2, 1, 8, 8).double(), r"images must be float32 .* got torch.float64 \[2, 1, 8, 8\]"),
        (torch.zeros(2, 8, 8), r"images must be float32 with 2 or 3 space axes .* got torch.float32 \[2, 8, 8\]"),
        (torch.zeros(3, 1, 8, 8), "targets must be one for each of 3 images, got 2"),
    ],
)
def test_refuses_images_it_cannot_use(images, message):
    with pytest.raises(InputError, match=message):
        run(FGSM(), net(), images, torch.tensor([0, 1]), THREAT)


@pytest.mark.parametrize(
    ("task", "goal", "message"),
    [
        ("multilabel", Avoid(), "the goal of a multilabel model must be one of Suppress, Inject, FlipAll; got Avoid"),
        ("multiclass", FlipAll(), "the goal of a multiclass model must be one of Avoid, Reach; got FlipAll"),
        ("multilabel", Suppress(name="z"), "class must be one of a, b, c; got 'z'"),
    ],
)
def test_refuses_goals_of_another_task(task, goal, message):
    targets = torch.ones(2, 3) if task == "multilabel" else torch.tensor([0, 1])
    with pytest.raises(InputError, match=message):
        run(FGSM(), net(task=task), pictures((2, 1, 8, 8)), targets, Threat(goal, Ball("linf", 0.1)))


def test_refuses_targets_and_options_without_meaning():
    model, images, targets = case()
    with pytest.raises(InputError, match=r"targets must lie in 0..2, got 1..7"):
        run(FGSM(), model, images, torch.tensor([1, 1, 1, 1, 7]), THREAT)
    with pytest.raises(InputError, match=r"targets must be where the images are \(cpu\), got meta"):
        run(FGSM(), model, images, targets.to("meta"), THREAT)
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        run(FGSM(), model, images, targets, THREAT, batch_size=0)
    with pytest.raises(InputError, match="ids must name each of 5 images, got 1"):
        run(FGSM(), model, images, targets, THREAT, ids=["a"])


def test_control_noise_is_the_perturbation_elsewhere():
    images, attacked = torch.full((3, 1, 9, 9), 0.5), torch.full((3, 1, 9, 9), 0.5)
    attacked[:, :, :3] += 0.1
    noisy = control_noise(images, attacked)
    assert not torch.equal(noisy, attacked)
    assert torch.equal((noisy - images).flatten(1).sort(1).values, (attacked - images).flatten(1).sort(1).values)
    assert torch.equal(noisy[1:2], control_noise(images[1:2], attacked[1:2], ids=["1"])), "named by the image"
    edge = control_noise(torch.ones(1, 1, 9, 9), torch.ones(1, 1, 9, 9) - (attacked[:1] - 0.5))
    assert 0 <= edge.min() <= edge.max() <= 1


def test_control_noise_stays_in_the_window():
    images, attacked = torch.full((2, 1, 9, 9), 0.5), torch.full((2, 1, 9, 9), 0.5)
    attacked[:, :, 2:6, 3:7] += torch.linspace(-0.3, 0.3, 16).reshape(4, 4)
    budget = Window(0.2)
    noisy = control_noise(images, attacked, budget=budget)
    assert (budget.size(noisy - images) <= 0.2).all()
    assert not torch.equal(noisy, attacked)
    assert torch.equal(noisy.flatten(1).sort(1).values, attacked.flatten(1).sort(1).values)


@pytest.mark.gpu
def test_a_model_on_an_accelerator_takes_images_from_the_host():
    model, images, targets = case(9)
    here = run(PGD(), model, images, targets, THREAT)
    there = run(PGD(), model.cuda(), images, targets, THREAT)
    assert there.images.device.type == there.logits.device.type == "cpu"
    assert (here.success == there.success).all()


def test_a_start_is_brought_into_the_budget_and_used():
    model, images = net(), pictures((12, 1, 8, 8))
    targets, small, large = answers(model, images).argmax(1), Ball("linf", 0.01), Ball("linf", 0.02)
    first = run(PGD(), model, images, targets, Threat(Avoid(), small))
    far = (images + 3 * (first.images - images)).clamp(0, 1)
    warm = run(PGD(), model, images, targets, Threat(Avoid(), large), start=far)
    cold = run(PGD(), model, images, targets, Threat(Avoid(), large))
    assert (warm.distance <= 0.02 * (1 + 1e-5)).all()
    assert (warm.success >= first.success).all(), "what fell within less is not lost"
    assert warm.cost.backwards < cold.cost.backwards
    with pytest.raises(ContractError, match="start must return"):
        run(PGD(), model, images, targets, Threat(Avoid(), large), start=far[:3])


def test_a_run_can_be_watched():
    model, images = net(), pictures((5, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    seen = []
    attack = AutoAttack(stages="apgd-ce,square", steps=2, queries=3)
    result = run(attack, model, images, targets, Threat(Avoid(), Ball("linf", 1e-6)), batch_size=2, watch=seen.append)
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert {one.of for one in seen} == {5}
    assert seen[-1].done == 5
    assert seen[-1].forwards == result.cost.forwards
    assert sum(a.forwards < b.forwards for a, b in itertools.pairwise(seen)) == 3 * (1 + 3 + 1 + 3 + 1) - 1
    stages = {"", "apgd-ce on 2 of 2", "square on 2 of 2", "apgd-ce on 1 of 1", "square on 1 of 1"}
    assert {one.stage for one in seen} == stages
    unwatched = run(attack, model, images, targets, Threat(Avoid(), Ball("linf", 1e-6)), batch_size=2)
    assert torch.equal(unwatched.images, result.images)
