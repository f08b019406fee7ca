"""Windows and draws: against slicing, and what an image gets whatever its neighbours are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aseptic.core.rng import stream
from aseptic.ops.draws import normals, uniforms
from aseptic.ops.windows import cut, put, window_corners, window_index, window_sides

few = settings(max_examples=25, deadline=None)
SPACES = pytest.mark.parametrize(("space", "sides"), [((7, 5), (3, 2)), ((4, 6, 5), (2, 6, 1))], ids=["2-D", "3-D"])


@SPACES
@few
@given(seed=st.integers(0, 10_000))
def test_a_window_is_a_slice(space, sides, seed):
    images = torch.rand(3, 2, *space, generator=stream(seed))
    corners = window_corners(space, sides, torch.rand(3, len(space), generator=stream(seed, "corner")))
    index = window_index(space, sides, corners)
    values = torch.rand(3, 2, index.shape[1], generator=stream(seed, "values"))
    expected, kept = images.clone(), images.clone()
    for row, corner in enumerate(corners.tolist()):
        box = (slice(None), *(slice(first, first + side) for first, side in zip(corner, sides, strict=True)))
        assert torch.equal(cut(images, index)[row], images[row][box].flatten(1))
        expected[row][box] = values[row].reshape(expected[row][box].shape)
    assert torch.equal(put(images, index, values), expected)
    assert torch.equal(images, kept), "nothing is written into what is given"


def test_every_place_is_as_likely_as_every_other():
    corners = window_corners((6, 5), (3, 5), torch.rand(8000, 2, generator=stream(0)))
    assert corners[:, 1].max() == 0
    counts = corners[:, 0].bincount(minlength=4)
    assert len(counts) == 4
    assert (counts - 2000).abs().max() < 5 * 2000**0.5
    last = window_corners((6, 5), (3, 2), torch.full((1, 2), 1 - 2**-24))
    assert last.tolist() == [[3, 3]], "numbers just below 1 do not leave the image"


@pytest.mark.parametrize(
    ("space", "share", "sides"),
    [((20, 20), 0.25, (10, 10)), ((9, 9), 1.0, (9, 9)), ((9, 9), 1e-6, (1, 1)), ((10, 10, 10), 0.125, (5, 5, 5))],
)
def test_sides_cover_the_share(space, share, sides):
    assert window_sides(space, share) == sides


@pytest.mark.parametrize("draw", [uniforms, normals])
def test_draws_depend_on_no_neighbour(draw):
    like = torch.zeros(4, 1, 2, 2)
    whole = draw([stream(row) for row in range(4)], (3, 2), like)
    assert whole.shape == (4, 3, 2)
    assert torch.equal(whole[2:3], draw([stream(2)], (3, 2), like))
    assert draw([], (3, 2), like).shape == (0, 3, 2)
