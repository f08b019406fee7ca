"""Each doubt is raised by what it is about, and by nothing less."""

import pytest
import torch
from nets import answers, net, pictures
from planted import Quantised

from aseptic.attacks import doubts
from aseptic.models.subject import Subject
from aseptic.tasks.multiclass import Avoid, MultiClass
from aseptic.tasks.multilabel import FlipAll, MultiLabel

MULTI, LABELS = MultiClass(classes=("a", "b", "c")), MultiLabel(classes=("a", "b", "c"))


def flags(zeros, count=100):
    return torch.arange(count) >= zeros


@pytest.mark.parametrize(("zeros", "doubted"), [(0, False), (4, False), (5, True), (100, True)])
def test_zero_gradients_on_many_images(zeros, doubted):
    found = doubts.masked(flags(zeros))
    assert (found is not None) == doubted
    if found is not None:
        assert found.name == "masked-gradients"
        assert found.evidence == {"share": zeros / 100, "images": 100}
        assert f"for {zeros}% of the images" in found.sentence


def test_a_flat_loss_is_one_where_the_margin_is_not():
    assert doubts.flat(flags(50), flags(50)) is None
    found = doubts.flat(flags(50), flags(20))
    assert found.evidence["share"] == 0.3


def test_two_answers_to_one_image():
    logits = torch.randn((20, 3), generator=torch.Generator().manual_seed(0)) * 10
    assert doubts.at_random(logits, logits * (1 + 1e-6)) is None
    other = logits.clone()
    other[4] += 0.1
    found = doubts.at_random(logits, other)
    assert found.evidence["share"] == 0.05


def test_probabilities_are_told_from_logits():
    logits = torch.randn((20, 3), generator=torch.Generator().manual_seed(0))
    assert doubts.probabilities(logits.softmax(1), MULTI) is not None
    assert doubts.probabilities(logits, MULTI) is None
    assert doubts.probabilities(logits.sigmoid(), MULTI) is None, "they do not sum to 1"
    assert doubts.probabilities(logits.sigmoid(), LABELS) is not None
    assert doubts.probabilities(logits, LABELS) is None
    assert doubts.probabilities(logits[:0], MULTI) is None


def test_saturation_is_told_from_confidence():
    logits = torch.randn((20, 3), generator=torch.Generator().manual_seed(0))
    for task in (MULTI, LABELS):
        assert doubts.saturated(logits * 10, task) is None
        assert doubts.saturated(logits * 1e5, task) is not None


@pytest.mark.parametrize(
    ("broken", "doubted"),
    [
        ([("pgd", "gradients", 5), ("square", "scores", 0)], False),
        ([("pgd", "gradients", 5), ("square", "scores", 2)], False),
        ([("pgd", "gradients", 5), ("square", "scores", 3)], True),
        ([("square", "scores", 30), ("pgd", "gradients", 5)], False),
        ([("pgd", "gradients", 0), ("square", "scores", 2), ("hopskipjump", "decisions", 1)], True),
    ],
)
def test_questions_that_find_what_gradients_missed(broken, doubted):
    found = doubts.weaker_is_stronger(broken, 1000)
    assert (found is not None) == doubted
    if found is not None:
        assert found.evidence["broken"] == 3
    assert doubts.weaker_is_stronger([], 0) is None


def test_an_attack_without_a_limit_must_succeed():
    assert doubts.limitless(16, 16) is None
    found = doubts.limitless(13, 16)
    assert "3 of 16 images nowhere" in found.sentence


def test_a_stage_that_is_missing():
    assert doubts.left_out({}) is None
    found = doubts.left_out({"square": "searches budgets in linf, l2, got l1"})
    assert "(square: searches budgets in linf, l2, got l1)" in found.sentence


def test_looking_costs_two_passes_and_changes_nothing():
    model, images = net(), pictures((7, 1, 8, 8))
    before, targets = images.clone(), answers(net(), images).argmax(1)
    model.train()
    sight = doubts.look(model, images, targets, Avoid(), batch_size=3)
    assert (sight.forwards, sight.backwards) == (14, 14)
    assert torch.equal(images, before)
    assert model.training
    assert all(value.grad is None for value in model.parameters())
    torch.testing.assert_close(sight.logits, answers(model.eval(), images))
    assert sight.objective.all()
    assert sight.margin.all()
    assert doubts.doubt_sight(sight, model.task) == ()
    hidden = Subject(Quantised(model.module, 8), task=model.task, channels=1)
    sight = doubts.look(hidden, images, targets, Avoid())
    assert not sight.objective.any()
    assert [doubt.name for doubt in doubts.doubt_sight(sight, model.task)] == ["masked-gradients"]


def test_images_of_which_nothing_is_known_raise_no_doubt():
    model, images = net(task="multilabel"), pictures((4, 1, 8, 8))
    targets = (answers(model, images) > 0).float()
    targets[1:] = torch.nan
    sight = doubts.look(model, images, targets, FlipAll())
    assert len(sight.only(FlipAll().applies(model.task, targets)).margin) == 1
    assert doubts.doubt_sight(sight.only(FlipAll().applies(model.task, targets)), model.task) == ()
