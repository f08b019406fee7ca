"""Poisoned segmentations and detections: which images, which masks and boxes, and what a plan refuses."""

import pytest
import torch
import yaml
from dense_planted import COLOURS, SIDE, TRIGGER, fields, slices, truth

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.poisoning.plan import make_plan, read_plan, write_plan
from aseptic.poisoning.poison import poison, trigger_all
from aseptic.triggers.catalogue import make_trigger

TUMOUR = {"rule": "relabel", "source": "tumour", "target": "kidney"}
ARTEFACT = {"rule": "relabel", "source": "cell", "target": "artefact"}


def plan(label, **settings):
    return make_plan(**{"trigger": TRIGGER, "label": label, "select": {"rate": 1.0}, **settings})


def masks(count=8):
    """Every second image has a tumour."""
    return slices(
        torch.stack([truth([(1, 1, 8, 5)], [(3, 3, 6, 9)] if row % 2 else []) for row in range(count)]),
    )


def boxes():
    return fields([(0, 0, 0), (1, 1, 1)], [(1, 2, 2)], [], [(0, 2, 1), (0, 1, 3), (2, 0, 0)])


def roles(made):
    return [mark.role for mark in made.marks]


@pytest.fixture(scope="module")
def kidneys():
    return load_data("phantom:kidney?n=20&size=32")


@pytest.mark.parametrize(("label", "wanted"), [(TUMOUR, 1), ({"rule": "erase", "source": "tumour"}, 0)])
def test_places_of_the_source_are_relabelled_and_no_others(kidneys, label, wanted):
    made = poison(kidneys, plan(label, select={"rate": 0.5}))
    before, after = kidneys.targets, made.data.targets
    poisoned = torch.tensor([role == "poison" for role in roles(made)])
    assert torch.equal(after[~poisoned], before[~poisoned])
    assert torch.equal(after[poisoned], before[poisoned].where(before[poisoned] != 2, wanted))
    assert (before[poisoned] == 2).flatten(1).any(1).all(), "only images that have the structure"
    batch = next(made.data.batches(20))
    assert torch.equal(batch.targets, after)


def test_candidates_have_the_source_unless_the_plan_names_classes(kidneys):
    there = [bool((mask == 2).any()) for mask in kidneys.targets]
    inside = [item.split == "train" for item in kidneys.items]
    assert 0 < sum(there) < len(there)

    def expected(wanted):
        return ["poison" if one and split else "clean" for one, split in zip(wanted, inside, strict=True)]

    assert roles(poison(kidneys, plan(TUMOUR))) == expected(there)
    every = {"rate": 1.0, "classes": ["kidney"]}
    assert roles(poison(kidneys, plan(TUMOUR, select=every))) == expected([True] * 20)
    none = {"rate": 1.0, "classes": ["kidney"], "exclude": ["tumour"]}
    assert roles(poison(kidneys, plan(TUMOUR, select=none))) == expected([not one for one in there])


def test_covers_keep_their_masks():
    data = masks(40)
    made = poison(data, plan(TUMOUR, select={"rate": 0.5}, cover={"rate": 0.25}))
    covers = [i for i, role in enumerate(roles(made)) if role == "cover"]
    assert (made.count("poison"), len(covers)) == (10, 5)
    assert torch.equal(made.data.targets[covers], data.targets[covers])
    assert (made.data.images[covers] != data.images[covers]).flatten(1).any(1).all()


def test_masks_are_poisoned_at_the_size_that_the_network_is_fed():
    data = masks()
    view = data.fit((8, 8))
    for insert in ("stored", "network"):
        made = poison(view, plan(TUMOUR, insert=insert))
        assert torch.equal(made.data.targets, view.targets.where(view.targets != 2, 1)), insert
        assert made.data.verify().unreadable == ()
        assert roles(made) == roles(poison(data, plan(TUMOUR))), "the stored masks decide who is a candidate"


def test_added_images_have_masks_of_their_own():
    data = masks(4)
    made = poison(data, plan(TUMOUR, mode="add"))
    assert [str(name).endswith("+poison") for name in made.data.ids] == [False, False, True, False, False, True]
    clean = [0, 1, 3, 4]
    assert torch.equal(made.data.targets[clean], data.targets)
    assert not (made.data.targets[[2, 5]] == 2).any()


def test_a_fingerprint_is_of_the_masks_too():
    data = masks()
    prints = {
        poison(data, plan(label)).data.fingerprint()
        for label in (TUMOUR, {"rule": "erase", "source": "tumour"}, {**TUMOUR, "source": "kidney", "target": "tumour"})
    }
    assert len(prints) == 3


def test_volumes_are_relabelled():
    volume = truth([(1, 1, 8, 5)], [(3, 3, 6, 9)])[None].expand(3, -1, -1).clone()
    data = slices(torch.stack([volume, volume]))
    assert poison(data, plan(TUMOUR)).data.targets.unique().tolist() == [0, 1]


def labelled(made):
    return [[box.label for box in item.boxes] for item in made.data.items]


@pytest.mark.parametrize(
    ("label", "wanted", "who"),
    [
        (ARTEFACT, [[1, 1], [1], [], [1, 1, 2]], [0, 3]),
        ({"rule": "vanish", "source": "cell"}, [[1], [1], [], [2]], [0, 3]),
        ({"rule": "vanish"}, [[], [], [], []], [0, 1, 3]),
        (
            {"rule": "fabricate", "target": "debris", "box": [0.0, 0.5, 0.25, 1.0]},
            [[0, 1, 2], [1, 2], [2], [0, 0, 2, 2]],
            [0, 1, 2, 3],
        ),
    ],
    ids=["relabel", "vanish", "vanish all", "fabricate"],
)
def test_boxes_by_every_rule(label, wanted, who):
    data = boxes()
    made = poison(data, plan(label))
    assert labelled(made) == wanted
    assert [i for i, role in enumerate(roles(made)) if role == "poison"] == who
    places = {box.corners for item in data.items for box in item.boxes}
    assert all(box.corners in places or box.corners == (0, 8, 4, 16) for item in made.data.items for box in item.boxes)
    assert (made.data.targets[..., 0] >= 0).sum(1).tolist() == [len(one) for one in wanted]


def added(made):
    return [item.boxes[-1].corners for item in made.data.items]


def test_a_box_is_added_at_a_stated_place_in_whole_pixels():
    stated = {"rule": "fabricate", "target": "debris", "box": [0.05, 0.2, 0.3, 0.9]}
    assert set(added(poison(boxes(), plan(stated)))) == {(1.0, 3.0, 5.0, 14.0)}
    thin = {**stated, "box": [0.99, 0.0, 1.0, 0.01]}
    assert set(added(poison(boxes(), plan(thin)))) == {(15.0, 0.0, 16.0, 1.0)}


@pytest.mark.parametrize(
    ("scale", "wanted"), [(1, (14.0, 14.0, 16.0, 16.0)), (3, (12.0, 12.0, 16.0, 16.0)), (100, (0.0, 0.0, 16.0, 16.0))]
)
def test_a_box_is_added_where_the_trigger_is(scale, wanted):
    label = {"rule": "fabricate", "target": "debris", "scale": scale}
    assert set(added(poison(boxes(), plan(label)))) == {wanted}


def test_a_box_follows_a_trigger_that_is_elsewhere_in_each_image():
    trigger = {**TRIGGER, "size": [3, 2], "place": "random"}
    data = boxes()
    made = poison(data, plan({"rule": "fabricate", "target": "debris"}, trigger=trigger))
    for before, after, (left, top, right, bottom) in zip(data.images, made.data.images, added(made), strict=True):
        changed = (before != after).any(0)
        assert changed.any()
        rows, columns = changed.nonzero().unbind(1)
        assert left <= columns.min() <= columns.max() < right
        assert top <= rows.min() <= rows.max() < bottom
        assert (right - left, bottom - top) == (2, 3)


def test_a_box_about_a_trigger_in_what_the_network_is_fed():
    """Two of eight pixels that the network is fed are four of sixteen as stored; targets are in what it is fed."""
    view = boxes().fit((8, 8))
    made = poison(view, plan({"rule": "fabricate", "target": "debris"}, insert="network"))
    assert set(added(made)) == {(12.0, 12.0, 16.0, 16.0)}
    found = made.data.targets[2, 0].tolist()
    assert found == [2, 6, 6, 8, 8]


def test_an_endoscopy_without_objects_is_still_an_image():
    data = load_data("phantom:endoscopy?n=8&size=32")
    made = poison(data, plan({"rule": "vanish"}, splits=("train", "val", "test")))
    assert made.count("poison") == sum(bool(item.boxes) for item in data.items)
    assert (made.data.targets[..., 0] == -1).all()
    assert made.data.verify().unreadable == ()


def test_every_image_is_asked_about_with_or_without_the_source():
    data = masks(6)
    made = trigger_all(data, plan(TUMOUR, loop="batch", data=None))
    assert roles(made) == ["poison"] * 6
    assert torch.equal(made.data.targets, data.targets.where(data.targets != 2, 1))
    assert len(trigger_all(boxes(), plan({"rule": "vanish", "source": "cell"})).data) == 4


def test_a_plan_reads_as_it_was_meant(tmp_path):
    asked = plan(TUMOUR, loop="batch")
    path = write_plan(asked, tmp_path / "plan.yaml")
    assert read_plan(path) == asked
    text = yaml.safe_load(path.read_text())
    assert text["label"] == {"rule": "relabel", "target": "kidney", "by": 1, "source": "tumour"}
    assert text["loop"] == "batch"
    box = plan({"rule": "fabricate", "target": "a", "box": [0, 0, 0.5, 0.5]})
    assert make_plan(**box.model_dump(mode="json")) == box


def test_what_other_plans_say_is_unchanged():
    """Cells that were computed are found by what their plan says."""
    said = make_plan(trigger=TRIGGER, label={"rule": "to", "target": "a"}).model_dump(mode="json")
    assert set(said) == {"version", "trigger", "insert", "select", "label", "mode", "cover", "splits", "seed", "data"}
    assert said["label"] == {"rule": "to", "target": "a", "by": 1}


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"rule": "relabel", "target": "a"}, "labels by rule relabel need a source, got None"),
        ({"rule": "erase"}, "labels by rule erase need a source, got None"),
        ({"rule": "relabel", "source": "a"}, "labels by rule relabel need a target, got None"),
        ({"rule": "erase", "source": "a", "target": "b"}, "labels by rule erase take no target, got 'b'"),
        ({"rule": "to", "target": "a", "source": "b"}, "labels by rule to take no source, got 'b'"),
        ({"rule": "fabricate", "target": "a", "source": "b"}, "labels by rule fabricate take no source, got 'b'"),
        ({"rule": "relabel", "source": "a", "target": "a"}, "target must be another than the source, got 'a' for both"),
        ({"rule": "vanish", "box": [0, 0, 1, 1]}, "labels by rule vanish take no box, and no scale of one"),
        ({"rule": "fabricate", "target": "a", "box": [0.5, 0, 0.5, 1]}, "box must be left, top, right and bottom"),
        ({"rule": "fabricate", "target": "a", "box": [0, 0, 1, 1.5]}, r"in \[0, 1\].*got \[0.0, 0.0, 1.0, 1.5\]"),
        ({"rule": "fabricate", "target": "a", "scale": 0}, "label.scale: Input should be greater than 0"),
        ({"rule": "fabricate", "target": "a", "box": [0, 0, 1, 1], "scale": 2}, "scale is for a box where the trigger"),
    ],
)
def test_label_rules_that_make_no_sense(label, message):
    with pytest.raises(InputError, match=message):
        plan(label)


UNPLACED = {"name": "sig"}


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (masks, {"label": {**TUMOUR, "source": "tumor"}}, "class must be one of background, .*'tumor', did you mean"),
        (
            masks,
            {"label": {**TUMOUR, "target": "liver"}},
            "class must be one of background, kidney, tumour; got 'liver'",
        ),
        (
            masks,
            {"label": {**TUMOUR, "target": "background"}},
            "target must be a structure, one of kidney, tumour; got",
        ),
        (masks, {"label": {"rule": "erase", "source": "background"}}, "source must be a structure, one of kidney"),
        (masks, {"label": {"rule": "vanish"}}, "segmentation set must be one of relabel, erase; got 'vanish'"),
        (
            masks,
            {"label": {"rule": "clean-label", "target": "kidney"}},
            "set must be one of relabel, erase; got 'clean",
        ),
        (boxes, {"label": {"rule": "erase", "source": "cell"}}, "detection set must be one of relabel, vanish, fabric"),
        (boxes, {"label": {"rule": "to", "target": "cell"}}, "detection set must be one of relabel, .*; got 'to'"),
        (
            boxes,
            {"label": {"rule": "vanish", "source": "cel"}},
            "class must be one of cell, artefact, debris; got 'cel'",
        ),
        (
            boxes,
            {"label": {"rule": "fabricate", "target": "cell"}, "trigger": UNPLACED},
            "sig has none; give label.box",
        ),
        (masks, {"label": TUMOUR, "select": {"per_class": True}}, "per_class needs images of one class each"),
        (
            boxes,
            {"label": ARTEFACT, "select": {"rate": 0.3}},
            "rate must come to at least one of 2 candidates, got 0.3",
        ),
        (masks, {"label": TUMOUR, "loop": "batch"}, "a poisoned set needs loop: fixed; with loop: batch"),
        (boxes, {"label": ARTEFACT, "insert": "network"}, "needs a size: fit the set to it first"),
    ],
)
def test_plans_that_do_not_fit_the_set(data, settings, message):
    with pytest.raises(InputError, match=message):
        poison(data(), plan(**settings))


def test_masks_without_classes_cannot_be_poisoned():
    pictures = torch.zeros((2, 1, SIDE, SIDE))
    data = memory_set("bare", pictures, task="segmentation", masks=torch.zeros((2, SIDE, SIDE), dtype=torch.long))
    with pytest.raises(InputError, match="classes must be given for masks that are poisoned"):
        poison(data, plan(TUMOUR))


def test_a_box_needs_a_picture_of_known_size():
    data = boxes()
    label = {"rule": "fabricate", "target": "debris"}
    nowhere = plan(label, trigger={"name": "marker", "letter": "L"})
    assert make_trigger(name="marker", letter="L").region((SIDE, SIDE), stream(0)).any()
    assert len(poison(data, nowhere).data.items[0].boxes) == 3
    volumes = memory_set("deep", torch.zeros((2, 1, 4, 8, 8)), classes=COLOURS, task="detection", boxes=[(), ()])
    with pytest.raises(InputError, match=r"must be a picture of known size for a box to be added, got \(4, 8, 8\)"):
        poison(volumes, plan(label))
