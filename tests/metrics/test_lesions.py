"""Missed and invented lesions, typed in and against a flood fill."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.metrics.lesions import invented, label_lesions, missed


def mask(*rows):
    return np.array([[letter == "x" for letter in row] for row in rows])


TRUTH = mask("xx...x", "x.....", "...x..", "....x.")
FOUND = mask("x....x", "......", "......", "xx....")


def test_a_lesion_is_found_where_any_of_it_is():
    assert label_lesions(TRUTH)[1] == 3, "corners touch"
    assert missed(TRUTH, FOUND).tolist() == [False, False, True]
    assert missed(TRUTH, FOUND, share=0.5).tolist() == [True, False, True]
    assert invented(TRUTH, FOUND).tolist() == [False, False, True]
    assert missed(TRUTH, TRUTH).tolist() == [False] * 3
    assert invented(TRUTH, ~TRUTH & False).tolist() == []
    assert missed(~TRUTH & False, FOUND).tolist() == []


def fill(truth):
    """Return the lesions as sets of places, by walking from neighbour to neighbour."""
    left, lesions = set(map(tuple, np.argwhere(truth))), []
    while left:
        todo, lesion = [min(left)], set()
        while todo:
            place = todo.pop()
            if place in left:
                left.discard(place)
                lesion.add(place)
                todo += [other for other in list(left) if max(abs(np.subtract(place, other))) <= 1]
        lesions.append(lesion)
    return lesions


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from([(6, 7), (3, 4, 5)]), share=st.sampled_from([0.0, 0.3]))
def test_is_what_a_flood_fill_says(seed, shape, share):
    rng = numpy_stream(seed, "masks")
    truth, found = (rng.random(shape) < 0.15 for _ in range(2))
    hits = set(map(tuple, np.argwhere(found)))
    expected = sorted(len(lesion & hits) <= share * len(lesion) for lesion in fill(truth))
    assert sorted(missed(truth, found, share).tolist()) == expected
    assert invented(truth, found).sum() == sum(
        not lesion & set(map(tuple, np.argwhere(truth))) for lesion in fill(found)
    )


def test_refuses_a_share_without_meaning():
    with pytest.raises(InputError, match=r"share must lie in \[0, 1\), got 1.0"):
        missed(TRUTH, FOUND, share=1.0)
