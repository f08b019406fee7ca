"""Boxes: overlaps and suppression against torchvision, laws of both, another size of the picture."""

import pytest
import torch
from torchvision.ops import batched_nms, box_iou

from aseptic.core.rng import stream
from aseptic.ops.boxes import areas, overlaps, rescaled, survivors


def draw(seed, count=40, images=3):
    rng = stream(seed, "boxes")
    corner, sides = (
        20 * torch.rand((images, count, 2), generator=rng),
        12 * torch.rand((images, count, 2), generator=rng),
    )
    return torch.cat([corner, corner + sides], 2), torch.randn((images, 3, count), generator=rng)


@pytest.mark.parametrize("seed", range(3))
def test_overlaps_are_torchvisions(seed):
    (first, _), (second, _) = draw(seed), draw(seed + 10, count=7)
    found = overlaps(first, second)
    for image in range(3):
        torch.testing.assert_close(found[image], box_iou(first[image], second[image]))


def test_empty_boxes_overlap_nothing():
    boxes = torch.tensor([[[1.0, 1, 1, 1], [0, 0, 2, 2], [3, 3, 1, 1]]])
    assert areas(boxes).tolist() == [[0.0, 4.0, 0.0]]
    assert overlaps(boxes, boxes)[0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_survivors_are_those_of_batched_nms(seed):
    boxes, logits = draw(seed)
    kept = survivors(logits, boxes, overlap=0.3, most=1000)
    for image in range(3):
        labels = torch.arange(3)[:, None].expand(3, 40).flatten()
        flat = batched_nms(boxes[image].repeat(3, 1), logits[image].flatten(), labels, 0.3)
        assert set(kept[image].flatten().nonzero()[:, 0].tolist()) == set(flat.tolist())


@pytest.mark.parametrize("most", [1, 5, 17])
def test_the_most_likely_are_kept(most):
    boxes, logits = draw(3)
    whole, few = (survivors(logits, boxes, overlap=0.5, most=count) for count in (1000, most))
    assert (few.flatten(1).sum(1) == most).all()
    assert not (few & ~whole).any()
    left, kept = (logits.masked_fill(~part, fill) for part, fill in ((whole & ~few, -9.0), (few, 9.0)))
    assert (kept.flatten(1).amin(1) > left.flatten(1).amax(1)).all()


def test_a_threshold_changes_nothing_above_it():
    boxes, logits = draw(4)
    whole = survivors(logits, boxes, overlap=0.3, most=1000)
    cut = survivors(logits.masked_fill(logits <= 0, -99), boxes, overlap=0.3, most=1000)
    assert torch.equal(whole & (logits > 0), cut & (logits > 0))


def test_neighbours_do_not_matter():
    boxes, logits = draw(5)
    together = survivors(logits, boxes, overlap=0.4, most=20)
    alone = [survivors(logits[row : row + 1], boxes[row : row + 1], overlap=0.4, most=20) for row in range(3)]
    assert torch.equal(together, torch.cat(alone))


def test_another_size():
    box = torch.tensor([[2.0, 3, 4, 6]])
    assert rescaled(box, (10, 20), (30, 10)).tolist() == [[1.0, 9, 2, 18]]
    assert rescaled(box, (10, 20), (10, 20)) is box
