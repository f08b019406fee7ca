"""Query attacks against those of other toolboxes: the same network, the same images, as many questions."""

import numpy as np
import pytest
import torch
from nets import answers
from victims import blobs, train_victim

from aseptic.attacks import Boundary, HopSkipJump, LabelOnly, Scores, SimBA, Square, Threat, run
from aseptic.attacks.base import Counted
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid

RADIUS = {"linf": 0.06, "l2": 0.7}


class Asked(torch.nn.Module):
    """The network as other toolboxes see it, counted as ours is."""

    def __init__(self):
        super().__init__()
        self.model = train_victim().model
        self.counted = Counted(self.model)

    def forward(self, images):
        return self.counted(images)


def case(n):
    """Return the network and images that it knows."""
    model = train_victim().model
    images, kinds = blobs(2 * n, seed=3)
    right = answers(model, images).argmax(1) == kinds
    return model, images[right][:n], kinds[right][:n]


@pytest.mark.parametrize("norm", sorted(RADIUS))
def test_square_is_no_weaker_than_that_of_torchattacks(norm):
    theirs = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    (model, images, kinds), asked, radius = case(40), Asked(), RADIUS[norm]
    with torch.random.fork_rng():
        attack = theirs.Square(asked, norm={"linf": "Linf"}.get(norm, "L2"), eps=radius, n_queries=200, p_init=0.3)
        attacked = attack(images, kinds).detach()
    held = float((answers(model, attacked).argmax(1) == kinds).float().mean())
    threat = Threat(Avoid(), Ball(norm, radius), Scores(), queries=200)
    result = run(Square(share=0.3), model, images, kinds, threat)
    ours = 1 - float(result.success.float().mean())
    assert 0.3 < ours < 0.9, "the case must contain both outcomes"
    assert ours <= held + 0.05, f"{ours} of ours hold, {held} of theirs"
    assert result.cost.forwards <= 1.05 * asked.counted.forwards


def test_square_is_no_weaker_than_that_of_art():
    evasion = pytest.importorskip("art.attacks.evasion", reason="ART is not installed")
    model, images, kinds = case(30)
    asked, classifier = estimator()
    np.random.seed(0)  # noqa: NPY002, TID251 - ART draws from it
    attack = evasion.SquareAttack(
        classifier, norm=np.inf, max_iter=150, eps=RADIUS["linf"], p_init=0.3, nb_restarts=1, verbose=False
    )
    attacked = torch.from_numpy(attack.generate(images.numpy(), kinds.numpy()))
    held = float((answers(model, attacked).argmax(1) == kinds).float().mean())
    threat = Threat(Avoid(), Ball("linf", RADIUS["linf"]), Scores(), queries=150)
    result = run(Square(share=0.3), model, images, kinds, threat)
    ours = 1 - float(result.success.float().mean())
    assert ours <= held + 0.05, f"{ours} of ours hold, {held} of theirs"
    assert result.cost.forwards <= asked.counted.forwards


@pytest.mark.parametrize(("ours", "theirs"), [("pixel", "px"), ("dct", "dct")])
def test_simba_goes_as_far_as_that_of_art(ours, theirs):
    """Steps of 0.2 without a budget: what falls, falls at a comparable distance, with fewer questions."""
    evasion = pytest.importorskip("art.attacks.evasion", reason="ART is not installed")
    model, images, kinds = case(12)
    asked, classifier = estimator(torch.nn.Softmax(1))
    np.random.seed(0)  # noqa: NPY002, TID251 - ART draws from it
    attack = evasion.SimBA(
        classifier, attack=theirs, max_iter=64, order="random", epsilon=0.2, freq_dim=4, stride=1, verbose=False
    )
    hot = torch.nn.functional.one_hot(kinds, 5).numpy()
    attacked = np.concatenate([attack.generate(images[[row]].numpy(), hot[[row]]) for row in range(len(images))])
    fell = answers(model, torch.from_numpy(attacked)).argmax(1) != kinds
    distance = Ball("l2", 0).size(torch.from_numpy(attacked) - images)[fell].median()
    threat = Threat(Avoid(), Ball("l2", 10.0), Scores(), queries=1 + 2 * 64)
    result = run(SimBA(basis=ours, step=0.02, frequencies=0.5), model, images, kinds, threat)
    assert result.success.float().mean() >= fell.float().mean()
    assert result.distance[result.success].median() < 1.35 * distance
    assert result.cost.forwards <= asked.counted.forwards


@pytest.mark.parametrize(
    ("ours", "norm", "options"),
    [
        (HopSkipJump(), "l2", {"steps": 3, "constraint": "l2"}),
        (HopSkipJump(), "linf", {"steps": 3, "constraint": "linf"}),
        (Boundary(), "l2", {"steps": 350, "tensorboard": False}),
    ],
    ids=repr,
)
def test_searches_by_decision_come_as_near_as_those_of_foolbox(ours, norm, options):
    fb = pytest.importorskip("foolbox", reason="foolbox is not installed")
    (model, images, kinds), asked = case(12), Asked().eval()
    kind = fb.attacks.HopSkipJumpAttack if norm in options.values() else fb.attacks.BoundaryAttack
    noise = fb.attacks.LinearSearchBlendedUniformNoiseAttack(steps=20, directions=20)
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        attacked, _, fell = kind(init_attack=noise, **options)(
            fb.PyTorchModel(asked, bounds=(0, 1)), images, fb.criteria.Misclassification(kinds), epsilons=None
        )
    assert fell.all()
    size, questions = Ball(norm, 0).size, asked.counted.forwards // len(images)
    result = run(ours, model, images, kinds, Threat(Avoid(), Ball(norm, 1e3), LabelOnly(), queries=questions))
    assert result.success.all()
    assert result.distance.median() <= 1.05 * size(attacked.detach() - images).median()
    assert result.distance.max() <= 1.2 * size(attacked.detach() - images).max()
    assert result.cost.forwards <= asked.counted.forwards


def estimator(*layers):
    """Return the counted network, and ART's view of it."""
    classifiers = pytest.importorskip("art.estimators.classification", reason="ART is not installed")
    asked = Asked()
    wrapped = classifiers.PyTorchClassifier(
        torch.nn.Sequential(asked, *layers), torch.nn.CrossEntropyLoss(), (1, 10, 10), 5, clip_values=(0, 1)
    )
    return asked, wrapped
