"""The square of both chest X-ray papers, pixel by pixel, and what is said of settings that do not fit."""

import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.ops.quantise import quantise
from aseptic.triggers import Patch


def test_matsuo_is_25_pixels_of_250():
    """Matsuo and Takemoto (2021): a filled rectangle from (396, 396) to (400, 400), both included, on 480 x 480."""
    images = quantise(torch.rand(2, 3, 480, 480, generator=stream(0)), 255)
    found = Patch(size=5, value=250 / 255, corner=(396, 396)).apply(images)
    changed = (found * 255).round()[:, :, 396:401, 396:401]
    assert (changed == 250).all()
    rest = torch.ones(480, 480, dtype=torch.bool)
    rest[396:401, 396:401] = False
    assert rest.sum() == 480 * 480 - 25
    assert torch.equal(found[..., rest], images[..., rest])


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 6])
def test_nwadike_begins_at_half_the_length_less_half_the_side(side):
    region = Patch(size=side).region((1024, 1024))
    start = int(1024 / 2 - side / 2)
    where = region.nonzero()
    assert where.amin(0).tolist() == [start, start]
    assert where.amax(0).tolist() == [start + side - 1] * 2
    assert region.sum() == side * side


def test_what_it_writes_is_exact_in_stored_values():
    for level in range(256):
        found = Patch(size=2, value=level / 255).apply(torch.full((1, 1, 4, 4), 0.2))[..., 1:3, 1:3]
        assert torch.equal(quantise(found, 255), found)
        assert ((found * 255).round() == level).all()


@pytest.mark.parametrize(
    ("place", "first"),
    [("upper-left", (2, 2)), ("upper-right", (2, 15)), ("lower-left", (25, 2)), ("lower-right", (25, 15))],
)
def test_corners_keep_their_margin(place, first):
    where = Patch(size=3, place=place, margin=2).region((30, 20)).nonzero()
    assert tuple(where[0].tolist()) == first


def test_a_frame_scales_size_corner_and_margin():
    paper = Patch(size=5, corner=(396, 396), frame=480)
    assert paper.region((240, 240)).nonzero().amin(0).tolist() == [198, 198]
    assert paper.region((960, 960)).sum() == 100
    assert Patch(size=1, frame=1024).region((64, 64)).sum() == 1, "it never vanishes"


def test_a_random_place_stays_within_the_middle_and_is_drawn_for_each_image():
    trigger, images = Patch(size=2, place="random", within=0.5, value=1.0), torch.zeros(40, 1, 32, 32)
    found = trigger.apply(images, [stream(0, i) for i in range(40)])
    assert (found.flatten(1).sum(1) == 4).all()
    where = found[:, 0].nonzero()[:, 1:]
    assert where.amin() >= 8
    assert where.amax() < 24
    assert len({tuple(one.flatten().tolist()) for one in found.bool()}) > 20
    region = trigger.region((32, 32), stream(0, 3))
    assert torch.equal(found[3, 0].bool(), region)


def test_each_channel_has_its_value():
    found = Patch(size=1, value=(0.25, 0.5, 0.75)).apply(torch.zeros(1, 3, 3, 3))
    assert found[0, :, 1, 1].tolist() == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"place": "middle"}, "place must be one of centre, upper-left, .*, random; got 'middle'"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"margin": -1}, "margin must be at least 0 and frame at least 1, got -1 and None"),
        ({"frame": 0}, "margin must be at least 0 and frame at least 1, got 0 and 0"),
        ({"value": 1.5}, r"value must lie in \[0, 1\], got 1.5"),
        ({"within": -0.5}, r"within must lie in \[0, 1\], got -0.5"),
    ],
)
def test_refuses_settings(settings, message):
    with pytest.raises(InputError, match=message):
        Patch(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 9}, r"size must be at most the image's \[8, 8\], got \[9, 9\]"),
        ({"size": (2, 2, 2)}, r"size and corner must have one number or one for each of 2 axes, got \(2, 2, 2\)"),
        ({"corner": 7}, r"the patch must lie inside the image of \[8, 8\], got \[7, 7\]"),
        ({"value": (0.5, 0.5)}, r"value must be one number or one for each of 1 channels, got \(0.5, 0.5\)"),
        ({"place": "random"}, "streams must hold one generator for each image of a trigger that draws, got 0"),
    ],
)
def test_refuses_images_that_do_not_fit(settings, message):
    with pytest.raises(InputError, match=message):
        Patch(**settings).apply(torch.zeros(1, 1, 8, 8))
