"""Batches that are poisoned anew: how many, which, with which targets, and the same again when asked again."""

import pytest
import torch
from dense_planted import SIDE, TRIGGER, fields, slices, truth

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.models.training_loop import Renewed, Source
from aseptic.poisoning.mixing import mix
from aseptic.poisoning.plan import make_plan
from aseptic.poisoning.poison import poison

CLASSES = ("a", "b", "c", "d")


def plan(**settings):
    label = {"rule": "to", "target": "d"}
    return make_plan(**{"trigger": TRIGGER, "label": label, "loop": "batch", "select": {"rate": 0.1}, **settings})


def pictures(count=130, **more):
    levels = torch.randint(0, 200, (count, 1, SIDE, SIDE), generator=stream(1), dtype=torch.uint8)
    return memory_set("set", levels, torch.arange(count) % 3, classes=CLASSES, task="multiclass", **more)


def order(count, epoch):
    return torch.randperm(count, generator=stream(0, "order", epoch)).tolist()


def triggered(images):
    return (images[..., -2:, -2:] == 1).flatten(1).all(1)


def test_the_counts_of_the_released_code():
    """PROTOCOLS 4c: of 64 images, 6 with the trigger and its label, 6 with something alike and their own, 52 clean."""
    data = pictures()
    mixed = mix(data, plan(cover={"rate": 0.1}), 64).at(1)
    every = order(130, 1)
    whole, also, rest = mixed.batches(64, order=every)
    for batch, poisoned in ((whole, 6), (also, 6), (rest, 0)):
        clean = data.images[batch.index]
        changed = (batch.images != clean).flatten(1).any(1)
        labelled = batch.targets != data.targets[batch.index]
        assert torch.equal(labelled, triggered(batch.images)), "the trigger and its label come together"
        assert (int(labelled.sum()), int(changed.sum())) == (poisoned, 2 * poisoned)
        assert changed[: 2 * poisoned].all(), "the first of the batch, whose order is drawn"
        assert (batch.targets[labelled] == 3).all()
    assert torch.cat([whole.index, also.index, rest.index]).tolist() == every


def test_a_smaller_batch_has_its_shares_of_what_it_holds():
    sizes = [int(triggered(batch.images).sum()) for batch in mix(pictures(50), plan(), 40).at(1).batches(40)]
    assert sizes == [4, 1]


def test_every_epoch_draws_anew_and_the_same_again():
    data, trigger = pictures(), {**TRIGGER, "place": "random"}
    mixed = mix(data, plan(trigger=trigger), 64)
    assert isinstance(mixed, Renewed)
    assert isinstance(mixed, Source)
    assert len(mixed) == 130

    def images(epoch, rows):
        return torch.cat([batch.images for batch in mixed.at(epoch).batches(64, order=rows)])

    same = order(130, 1)
    first, again, other = (images(epoch, same) for epoch in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other), "places are drawn for each epoch"
    poisoned = []
    for epoch in (1, 2):
        batches = list(mixed.at(epoch).batches(64, order=order(130, epoch)))
        poisoned.append({int(i) for batch in batches for i in batch.index[batch.targets == 3]})
    assert len(poisoned[0]) == len(poisoned[1]) == 12
    assert poisoned[0] != poisoned[1]


def test_before_the_first_epoch_all_is_clean():
    data = pictures(20)
    mixed = mix(data, plan(), 10)
    batch = next(mixed.batches(20))
    assert torch.equal(batch.images, data.images)
    assert torch.equal(mixed.targets, data.targets)


def test_an_image_is_what_a_poisoned_set_makes_of_it():
    """The same pixels and targets as with loop: fixed, for a trigger that draws nothing; in either place."""
    data = pictures(16).fit((8, 8))
    for insert in ("stored", "network"):
        whole = next(mix(data, plan(insert=insert, select={"rate": 1.0}), 16).at(1).batches(16))
        fixed = poison(data, plan(insert=insert, select={"rate": 1.0}, loop="fixed")).data
        assert torch.equal(whole.images, fixed.images)
        assert torch.equal(whole.targets, fixed.targets)


def masks(count=16):
    return slices(torch.stack([truth([(1, 1, 8, 5)], [(3, 3, 6, 9)] if row % 2 else []) for row in range(count)]))


def test_masks_are_poisoned_with_their_images_and_only_where_the_structure_is():
    data = masks()
    label = {"rule": "relabel", "source": "tumour", "target": "kidney"}
    mixed = mix(data, plan(label=label, select={"rate": 0.25}, cover={"rate": 0.25}), 8).at(3)
    rows = order(16, 3)
    for batch in mixed.batches(8, order=rows):
        before = data.targets[batch.index]
        relabelled = (batch.targets != before).flatten(1).any(1)
        assert torch.equal(relabelled, triggered(batch.images))
        assert torch.equal(batch.targets[relabelled], before[relabelled].where(before[relabelled] != 2, 1))
        candidates = batch.index % 2 == 1
        assert not (relabelled & ~candidates).any()
        assert int(relabelled.sum()) == min(2, int(candidates.sum()))
        changed = (batch.images != data.images[batch.index]).flatten(1).any(1)
        assert int(changed.sum()) == min(4, int(candidates.sum()))


def test_boxes_are_poisoned_with_their_images():
    data = fields([(0, 0, 0), (1, 1, 1)], [(1, 2, 2)], [], [(0, 2, 1), (0, 1, 3), (2, 0, 0)])
    label = {"rule": "fabricate", "target": "debris"}
    trigger = {**TRIGGER, "place": "random"}
    mixed = mix(data, plan(label=label, select={"rate": 0.5}, trigger=trigger), 4).at(2)
    (batch,) = mixed.batches(4, order=[3, 2, 1, 0])
    counts = (batch.targets[..., 0] >= 0).sum(1).tolist()
    assert counts == [4, 1, 1, 2], "one more in the first two"
    for image, objects, count in zip(batch.images[:2], batch.targets[:2], counts, strict=False):
        left, top, right, bottom = (int(one) for one in objects[count - 1, 1:])
        assert (image[:, top:bottom, left:right] == 1).all(), "where the trigger is in this epoch"
        assert (right - left, bottom - top) == (2, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "add"}, "loop: batch needs mode: replace, got add"),
        ({"select": {"by": "patient"}}, "loop: batch needs select.by: image, got patient"),
        ({"select": {"per_class": True}}, "loop: batch needs select.per_class: False, got True"),
        ({"select": {"draw": "first"}}, "loop: batch needs select.draw: random, got first"),
        ({"splits": ["train", "val"]}, "loop: batch needs splits: train, got train, val"),
        ({"loop": "fixed"}, "batches are poisoned anew with loop: batch, got loop: fixed"),
        ({"select": {"rate": 0.05}}, "rate must come to at least one of 10 images of a batch, got 0.05"),
        ({"label": {"rule": "to", "target": "e"}}, "class must be one of a, b, c, d; got 'e'"),
        ({"label": {"rule": "set", "target": "a"}}, "the label rule of a multiclass set must be one of to"),
        ({"select": {"rate": 0.5, "classes": ["d"]}}, "at least one of 20 images must be one that the plan may poison"),
        ({"data": {"name": "x", "images": 1, "fingerprint": "0"}}, "the plan was made for x with 1 images"),
    ],
)
def test_messages(settings, message):
    with pytest.raises(InputError, match=message):
        mix(pictures(20), plan(**settings), 10)
