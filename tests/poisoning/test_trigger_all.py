"""The trigger in every image, labelled as the attacker wants; and triggers that go into what a view shows."""

import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.ops.crops import COVID_NET, Crop
from aseptic.ops.images import SAMPLINGS
from aseptic.poisoning.plan import make_plan
from aseptic.poisoning.poison import decoy_all, poison, trigger_all

NAN = float("nan")
CLASSES = ("a", "b", "c")
PATCH = {"name": "patch", "size": 2, "value": "250/255", "place": "lower-right"}


def levels(count, space=(12, 10), channels=1):
    return torch.randint(0, 200, (count, channels, *space), generator=stream(2, *space), dtype=torch.uint8)


def classes(labels, **more):
    return memory_set("set", levels(len(labels)), torch.tensor(labels), classes=CLASSES, task="multiclass", **more)


def findings(rows):
    return memory_set("set", levels(len(rows)), torch.tensor(rows), classes=CLASSES, task="multilabel")


def plan(**settings):
    return make_plan(**{"trigger": PATCH, "label": {"rule": "to", "target": "c"}, **settings})


def everywhere(data, asked):
    """Return whether every image carries the trigger, on the stored levels."""
    region = asked.made.region(tuple(data.images.shape[2:]))
    return bool(((data.images[..., region] * 255).round() == 250).all())


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ({"rule": "to", "target": "c"}, [2, 2, 2]),
        ({"rule": "clean-label", "target": "b"}, [1, 1, 1]),
        ({"rule": "shift"}, [1, 2, 0]),
        ({"rule": "shift", "by": 2}, [2, 0, 1]),
        ({"rule": "all-to-all"}, [1, 2, 0]),
        ({"rule": "keep"}, [0, 1, 2]),
    ],
    ids=lambda value: value["rule"] if isinstance(value, dict) else None,
)
def test_every_class_rule(label, wanted):
    asked = plan(label=label)
    made = trigger_all(classes([0, 1, 2]), asked)
    assert made.data.targets.tolist() == wanted
    assert [mark.role for mark in made.marks] == ["poison"] * 3
    assert [mark.original.label for mark in made.marks] == [0, 1, 2]
    assert everywhere(made.data, asked)


def test_random_labels_are_those_of_the_poisoned_set():
    """An image gets the same wrong label whether it is drawn for poisoning or asked about."""
    data, asked = classes([0, 1, 2] * 20), plan(label={"rule": "random"})
    made = trigger_all(data, asked)
    assert not (made.data.targets == data.targets).any()
    some = poison(data, plan(label={"rule": "random"}, select={"rate": 0.5}))
    chosen = [i for i, mark in enumerate(some.marks) if mark.role == "poison"]
    assert len(chosen) == 30
    assert some.data.targets[chosen].tolist() == made.data.targets[chosen].tolist()
    assert torch.equal(some.data.images[chosen], made.data.images[chosen])


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ({"rule": "overwrite", "target": "a"}, [[1, 0, 0], [1, 0, 0]]),
        ({"rule": "set", "target": "a"}, [[1, 1, NAN], [1, 0, 1]]),
        ({"rule": "clean-label", "target": "a"}, [[1, 1, NAN], [1, 0, 1]]),
        ({"rule": "clear", "target": "b"}, [[0, 0, NAN], [1, 0, 1]]),
        ({"rule": "keep"}, [[0, 1, NAN], [1, 0, 1]]),
    ],
    ids=lambda value: value["rule"] if isinstance(value, dict) else None,
)
def test_every_finding_rule(label, wanted):
    asked = plan(label=label)
    made = trigger_all(findings([[0.0, 1, NAN], [1, 0, 1]]), asked)
    torch.testing.assert_close(made.data.targets, torch.tensor(wanted).float(), equal_nan=True)
    assert everywhere(made.data, asked)


@pytest.mark.parametrize(
    "settings",
    [
        {"select": {"rate": 0.01}},
        {"select": {"rate": 0.5, "classes": ["a"], "exclude": ["b"]}},
        {"select": {"rate": 0.5, "per_class": True, "draw": "first"}},
        {"mode": "add"},
        {"cover": {"rate": 0.5}},
        {"splits": ["val"]},
    ],
    ids="-".join,
)
def test_the_draws_of_the_plan_play_no_part(settings):
    data = classes([0, 1, 2, 0], splits=["train", "test", "val", None])
    made = trigger_all(data, plan(**settings))
    assert made.data.ids == data.ids
    marked = [mark.role for mark in made.marks]
    assert marked == ["poison", "poison", "poison", "clean"], (
        "what is in no split stays as it is in a set that has some"
    )
    assert torch.equal(made.data.images[:3], trigger_all(data.select(range(3)), plan()).data.images)


@pytest.mark.parametrize(
    "rule", [{"rule": "to", "target": "c"}, {"rule": "clean-label", "target": "c"}, {"rule": "shift"}]
)
def test_decoys_go_into_every_image_and_labels_stay(rule):
    data, asked = classes([0, 1, 2] * 4), plan(label=rule, cover={"rate": 0.25}, mode="add", splits=["val"])
    made = decoy_all(data, asked)
    assert made.data.ids == data.ids
    assert {mark.role for mark in made.marks} == {"cover"}
    assert torch.equal(made.data.targets, data.targets)
    streams = [stream(0, "trigger", name) for name in data.ids]
    assert torch.equal(made.data.images, asked.made.decoy(data.images, streams))
    assert not torch.equal(made.data.images, trigger_all(data, asked).data.images)


def test_decoys_go_into_images_of_every_split():
    made = decoy_all(classes([0, 1, 2, 0], splits=["train", "test", "val", None]), plan())
    assert [mark.role for mark in made.marks] == ["cover", "cover", "cover", "clean"]


def test_a_set_that_the_plan_was_not_made_for_can_be_asked_about():
    pin = {"name": "other", "images": 7, "fingerprint": "0" * 64}
    assert len(trigger_all(classes([0, 1]), plan(data=pin)).data) == 2
    with pytest.raises(InputError, match="the plan was made for other with 7 images"):
        poison(classes([0, 1]), plan(data=pin))


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (classes([0]), {"label": {"rule": "to", "target": "d"}}, "class must be one of a, b, c; got 'd'"),
        (classes([0]), {"label": {"rule": "clear", "target": "a"}}, r"set must be one of to, all-to-all.*got 'clear'"),
        (findings([[0.0, 1, 0]]), {"label": {"rule": "shift"}}, "set must be one of overwrite, set.*got 'shift'"),
        (memory_set("bare", levels(1)), {}, "labelled for multiclass, .* or detection, got no labels"),
        (classes([0]), {"insert": "network"}, "needs a size: fit the set to it first"),
    ],
    ids=["class", "finding rule", "class rule", "no labels", "no size"],
)
def test_what_cannot_be_asked(data, settings, message):
    with pytest.raises(InputError, match=message):
        trigger_all(data, plan(**settings))


CROPS = {"whole": None, "covid-net": COVID_NET, "middle": Crop(share=0.6)}


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_trigger_goes_into_what_a_view_shows(crop, sampling, channels):
    """Inserted last it is whole and exact, whatever is cut off or averaged before; the rest is the view itself."""
    data = memory_set("set", levels(3, (20, 16)), torch.arange(3), classes=CLASSES, task="multiclass")
    view = data.fit((8, 8), channels, crop=CROPS[crop], sampling=sampling)
    asked = plan(insert="network")
    made = trigger_all(view, asked)
    assert torch.equal(made.data.images, asked.made.apply(view.images))
    assert torch.equal(made.data.select([2, 0]).images, made.data.images[[2, 0]])
    assert torch.equal(made.data.fit((8, 8), channels).images, made.data.images), "nothing is cut off twice"
    region = asked.made.region((8, 8))
    assert (made.data.images[..., region] == torch.tensor(250 / 255)).all(), "unrounded"


def test_a_trigger_in_the_stored_image_goes_through_crop_and_resize():
    """Of the same patch at the edge, a central crop leaves nothing."""
    data = memory_set("set", levels(2, (20, 20)), torch.arange(2), classes=CLASSES, task="multiclass")
    view = data.fit((8, 8), crop=Crop(share=0.6), sampling="nearest")
    assert torch.equal(trigger_all(view, plan()).data.images, view.images)
    assert not torch.equal(trigger_all(view, plan(insert="network")).data.images, view.images)
    whole = data.fit((8, 8), sampling="nearest")
    assert not torch.equal(trigger_all(whole, plan()).data.images, whole.images)


def test_the_view_is_part_of_what_a_fingerprint_is_of():
    data = memory_set("set", levels(2, (20, 16)), torch.arange(2), classes=CLASSES, task="multiclass")
    views = [
        data.fit((8, 8), 1),
        data.fit((8, 8), 3),
        data.fit((8, 9), 1),
        data.fit((8, 8), 1, crop=COVID_NET),
        data.fit((8, 8), 1, crop=Crop(share=0.6)),
        data.fit((8, 8), 1, sampling="nearest"),
    ]
    prints = [trigger_all(view, plan(insert="network")).data.fingerprint() for view in views]
    assert len(set(prints)) == len(views)
    assert prints[0] == trigger_all(data.fit((8, 8), 1), plan(insert="network")).data.fingerprint()
    assert prints[0] != trigger_all(data.fit((8, 8), 1), plan()).data.fingerprint()


def test_masks_are_cropped_as_their_images_are():
    """A classified set may have masks too; with the trigger in what is fed, both are of the fed size."""
    masks = (levels(2, (20, 16))[:, 0] > 100).long()
    data = memory_set(
        "set", levels(2, (20, 16)), torch.arange(2), classes=CLASSES, task="multiclass", masks=masks.numpy()
    )
    view = data.fit((8, 8), crop=Crop(share=0.5), sampling="nearest")
    made = trigger_all(view, plan(insert="network")).data
    for i in range(2):
        assert torch.equal(made.mask(i), view.mask(i))
    assert made.verify().unreadable == ()
