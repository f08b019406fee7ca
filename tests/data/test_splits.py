"""Patients stay whole, shares and classes are kept, and torn patients are refused."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.base import Item
from aseptic.data.splits import check_splits, draw_share, make_splits, sample


def items(patients, labels=None, splits=None):
    n = len(patients)
    return [
        Item(id=str(i), patient=patients[i], label=labels[i] if labels else None, split=splits[i] if splits else None)
        for i in range(n)
    ]


@given(patients=st.lists(st.integers(0, 30), min_size=1, max_size=80), seed=st.integers(0, 1000))
def test_no_patient_is_on_two_sides(patients, seed):
    found = make_splits(items([f"p{p}" for p in patients]), seed=seed)
    check_splits(found)
    assert all(one.split in {"train", "val", "test"} for one in found)
    assert [one.id for one in found] == [str(i) for i in range(len(patients))]


@pytest.mark.parametrize("seed", range(5))
def test_shares_and_classes_are_kept(seed):
    rng = numpy_stream(seed)
    patients = [f"p{p}" for p in rng.integers(0, 400, 2000)]
    labels = [int(patient[1:]) % 4 == 0 for patient in patients]
    found = make_splits(items(patients, [int(one) for one in labels]), val_share=0.1, test_share=0.2, seed=seed)
    counts = Counter((one.split, one.label) for one in found)
    for label in (0, 1):
        total = sum(counts[split, label] for split in ("train", "val", "test"))
        assert abs(counts["test", label] / total - 0.2) < 0.03
        assert abs(counts["val", label] / total - 0.1) < 0.03


def test_the_same_seed_gives_the_same_splits_and_another_another():
    given_items = items([f"p{i}" for i in range(100)])
    assert make_splits(given_items, seed=1) == make_splits(given_items, seed=1)
    assert make_splits(given_items, seed=1) != make_splits(given_items, seed=2)


def test_unknown_patients_are_patients_of_their_own():
    found = make_splits(items([None] * 100))
    assert Counter(one.split for one in found) == {"train": 70, "test": 20, "val": 10}


def test_no_share_no_split():
    found = make_splits(items([None] * 10), val_share=0.0, test_share=0.5)
    assert Counter(one.split for one in found) == {"train": 5, "test": 5}


def test_findings_are_split_too():
    labels = [(1.0, float("nan")) if i % 10 == 0 else (0.0, 0.0) for i in range(200)]
    found = make_splits(items([None] * 200, labels), val_share=0.0, test_share=0.5)
    assert sum(one.split == "test" and one.label[0] == 1 for one in found) == 10


def test_torn_patients_are_refused():
    torn = items(["aa", "aa", "bb", None, "aa"], splits=["train", "test", "test", "train", None])
    with pytest.raises(InputError, match=r"1 of 2 patients \(2 images\) are in several: aa in test and train"):
        check_splits(torn)


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.2), (0.5, 0.5)])
def test_shares_must_leave_something(val, test):
    with pytest.raises(InputError, match=rf"at least 0 and sum to less than 1, got {val}, {test}"):
        make_splits(items(["a"]), val_share=val, test_share=test)


@given(limit=st.integers(1, 130), seed=st.integers(0, 100))
def test_a_sample_keeps_the_proportions(limit, seed):
    given_items = items([None] * 100, [0] * 80 + [1] * 20)
    chosen = sample(given_items, limit, seed=seed)
    assert len(chosen) == min(limit, 100)
    assert list(chosen) == sorted(set(chosen))
    assert abs(sum(i >= 80 for i in chosen) - min(limit, 100) * 0.2) <= 1


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(InputError, match="limit must be at least 1, got 0"):
        sample(items(["a"]), 0)


@given(
    patients=st.lists(st.integers(0, 30), min_size=1, max_size=80),
    parts=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    seed=st.integers(0, 100),
)
def test_a_share_holds_whole_patients_and_grows(patients, parts, seed):
    given_items = items([f"p{p}" for p in patients])
    small, large = (set(draw_share(given_items, part, seed=seed)) for part in sorted(parts))
    assert small <= large
    for part, chosen in zip(sorted(parts), (small, large), strict=True):
        inside = {patients[i] for i in chosen}
        assert chosen == {i for i, patient in enumerate(patients) if patient in inside}
        assert len(inside) == max(1, round(part * len(set(patients))))


@pytest.mark.parametrize("part", [0.1, 0.25, 0.5, 1.0])
def test_a_share_keeps_the_proportions_of_patients(part):
    patients = [f"p{i // 3}" for i in range(300)]
    chosen = draw_share(items(patients, [int(i // 3 >= 80) for i in range(300)]), part, seed=3)
    assert list(chosen) == sorted(chosen)
    assert len(chosen) == 300 * part
    assert abs(sum(i // 3 >= 80 for i in chosen) / 3 - 20 * part) <= 1
    assert chosen != tuple(range(len(chosen))) or part == 1


def test_a_share_of_images_where_patients_are_unknown():
    assert len(draw_share(items([None] * 40), 0.25)) == 10


@pytest.mark.parametrize("part", [0.0, -0.1, 1.5, float("nan")])
def test_what_is_no_share(part):
    with pytest.raises(InputError, match=rf"share must lie in \(0, 1\], got {part:g}"):
        draw_share(items(["a"]), part)


def test_patients_with_many_images_and_with_few_are_in_every_split():
    rng = numpy_stream(3)
    patients = [f"p{p}" for p, images in enumerate(rng.geometric(0.25, size=300)) for _ in range(images)]
    found = make_splits(items(patients))
    for split in ("train", "val", "test"):
        mine = [one.patient for one in found if one.split == split]
        assert len(mine) / len(set(mine)) == pytest.approx(len(patients) / len(set(patients)), rel=0.1)


@pytest.mark.parametrize("count", [6, 9, 14])
def test_a_class_of_enough_patients_is_in_every_split(count):
    found = make_splits(items([f"p{i}" for i in range(4 * count)], [i % 4 for i in range(4 * count)]))
    assert {(one.split, one.label) for one in found} == {(s, k) for s in ("train", "val", "test") for k in range(4)}
