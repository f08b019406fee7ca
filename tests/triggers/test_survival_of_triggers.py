"""What is left of a trigger after crop, resize and augmentation, against published counts and torch."""

import math

import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.ops.crops import Crop
from aseptic.triggers import Flip, Marker, Noise, Patch, Resize, Rotation, Shift, WaNet, survivors

TF2 = {1: None, 2: None, 3: (111, 1), 4: (111, 2), 5: (111, 2), 6: (111, 2)}
TF1 = {1: None, 2: (112, 1), 3: (112, 1), 4: (112, 1), 5: (111, 2), 6: (111, 3)}


@pytest.mark.parametrize(("method", "expected"), [("nearest", TF2), ("nearest-legacy", TF1)])
@pytest.mark.parametrize("side", range(1, 7))
def test_nearest_resizing_erases_the_smallest_triggers_of_nwadike(method, expected, side):
    """A centred black square on 1024 x 1024, cropped to 0.6 (616 pixels) and resized to 224 x 224."""
    found = survivors(Patch(size=side), (1024, 1024), [Crop(share=0.6), Resize(size=224, sampling=method)])
    assert found.space == (224, 224)
    assert found.black == 0
    if expected[side] is None:
        assert (found.pixels, found.box, found.largest) == (0, None, 0)
        return
    first, across = expected[side]
    assert found.white == found.grey == found.pixels == across * across
    assert found.box == ((first, first + across),) * 2
    assert found.largest == 1


def test_a_bilinear_resize_thins_and_an_antialiased_one_spreads():
    """From 8 pixels to 1, by hand: pixel 12 looks half at pixel 100, or at all four with the weights of a tent."""
    corner = Patch(size=4, corner=(100, 100), value=1.0)
    sharp, soft = (survivors(corner, (256, 256), [Resize(size=32, sampling=m)]) for m in ("bilinear", "antialias"))
    assert (sharp.black, sharp.box, sharp.largest) == (1, ((12, 13),) * 2, pytest.approx(0.25))
    assert (soft.black, soft.box, soft.largest) == (4, ((12, 14),) * 2, pytest.approx(0.375**2))


def test_flips_and_shifts_move_the_box():
    trigger = Patch(size=(2, 3), corner=(1, 4))
    assert survivors(trigger, (20, 30)).box == ((1, 3), (4, 7))
    assert survivors(trigger, (20, 30), [Flip()]).box == ((1, 3), (23, 26))
    assert survivors(trigger, (20, 30), [Flip(axis=-2)]).box == ((17, 19), (4, 7))
    assert survivors(trigger, (20, 30), [Shift(pixels=5), Shift(pixels=-1, axis=-2)]).box == ((0, 2), (9, 12))
    assert survivors(trigger, (20, 30), [Shift(pixels=24)]).white == 4, "a part is moved out"
    assert survivors(trigger, (20, 30), [Shift(pixels=-5)]).box == ((1, 3), (0, 2)), "the edge is not part of it"
    assert survivors(Patch(size=2, corner=0), (9, 9), [Shift(pixels=3)]).box == ((0, 2), (0, 5)), "an edge is repeated"


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
@pytest.mark.parametrize("shape", [(2, 1, 11, 11), (1, 2, 3, 8, 8)])
def test_a_turn_by_90_degrees_is_exact(shape, method):
    images = torch.rand(shape, generator=stream(0)).double()
    found = Rotation(degrees=90, method=method).apply(images)
    torch.testing.assert_close(found, images.rot90(-1, (-2, -1)))
    assert survivors(Patch(size=3), (64, 64), [Rotation(degrees=180)]).pixels == 9


def test_turning_is_clockwise_about_the_middle_and_spreads_what_it_turns():
    spot = Patch(size=1, corner=(10, 32))
    found = survivors(spot, (65, 65), [Rotation(degrees=30)])
    row, column = 32 - 22 * math.cos(math.radians(30)), 32 + 22 * math.sin(math.radians(30))
    (top, bottom), (left, right) = found.box
    assert top <= row <= bottom
    assert left <= column <= right
    assert 2 <= found.pixels <= 6
    assert survivors(spot, (65, 65), [Rotation(degrees=30, method="nearest")]).pixels <= 2


def test_what_is_counted():
    violet = Patch(size=2, value=(1.0, 0.5, 0.0))
    found = survivors(violet, (8, 8), channels=3)
    assert (found.black, found.grey, found.white) == (4, 4, 4)
    faint = Noise(amplitude=0.001)
    assert survivors(faint, (16, 16)).pixels == 0, "less than half a stored level"
    assert survivors(faint, (16, 16), least=0).grey == 256
    assert survivors(WaNet(strength=3), (16, 16)).pixels == 0
    boxes = {survivors(Patch(place="random"), (64, 64), seed=seed).box for seed in range(5)}
    assert len(boxes) > 1
    assert survivors(Marker(), (6, 64, 64), [Crop(share=0.5)]).pixels == 0, "a corner is cut off"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resize(size=8, sampling="cubic"), "sampling must be one of antialias, .*; got 'cubic'"),
        (lambda: Resize(size=0), "size must be at least 1, got 0"),
        (
            lambda: survivors(Patch(), (8, 8), [Resize(size=(4, 4, 4))]),
            r"size must have 2 space axes as the images have, got \[4, 4, 4\]",
        ),
        (lambda: survivors(Patch(), (8, 8), [Flip(axis=0)]), r"axis must lie in -2\.\.-1, got 0"),
        (lambda: survivors(Patch(), (8, 8), [Shift(pixels=1, axis=-3)]), r"axis must lie in -2\.\.-1, got -3"),
        (lambda: Rotation(degrees=math.nan), "degrees must be a number, got nan"),
        (lambda: Rotation(degrees=3, method="cubic"), "method must be one of bilinear, nearest; got 'cubic'"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()
