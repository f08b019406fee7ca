"""Crops by the papers' own arithmetic, and what the nearest pixel leaves of a small trigger (Nwadike et al.)."""

import numpy as np
import pytest
import torch
from nets import pictures
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.ops.crops import CENTRAL_60, COVID_NET, Crop
from aseptic.ops.images import resize


def positions(length):
    """Images whose pixels are their own row and column."""
    rows = torch.arange(length, dtype=torch.float32).reshape(1, 1, -1, 1).expand(1, 1, -1, length)
    columns = torch.arange(length, dtype=torch.float32).reshape(1, 1, 1, -1).expand_as(rows)
    return torch.cat([rows, columns], 1)


def test_the_central_crop_of_nwadike_is_rows_and_columns_204_to_819():
    found = CENTRAL_60.apply(positions(1024))
    assert found.shape == (1, 2, 616, 616)
    assert found[0, 0, [0, -1], 0].tolist() == [204, 819]
    assert found[0, 1, 0, [0, -1]].tolist() == [204, 819]


@pytest.mark.parametrize(
    ("space", "rows", "columns"),
    [
        ((1000, 800), (140, 940), (0, 800)),  # 920 rows are left, 120 too many
        ((1024, 1024), (81, 1024), (40, 983)),  # 81.92 rows become 81; 81 of 943 columns too many, 40 before
        ((480, 2000), (38, 480), (779, 1221)),
        ((12, 12), (0, 12), (0, 12)),  # 0.96 of a row is none
        ((1, 1), (0, 1), (0, 1)),
    ],
)
def test_covid_net_cuts_the_top_and_then_keeps_the_square(space, rows, columns):
    assert COVID_NET.box(space) == (slice(*rows), slice(*columns))


def reference(picture):
    """COVID-Net's two steps on an array, written out."""
    picture = picture[int(picture.shape[0] * 0.08) :]
    side = min(picture.shape)
    down, across = int((picture.shape[0] - side) / 2), int((picture.shape[1] - side) / 2)
    return picture[down : down + side, across : across + side]


@pytest.mark.parametrize("space", [(37, 50), (50, 37), (101, 100), (13, 200), (99, 92)])
def test_covid_net_on_arrays(space):
    images = pictures((2, 3, *space))
    found = COVID_NET.apply(images)
    expected = np.stack([[reference(channel) for channel in image] for image in images.numpy()])
    np.testing.assert_array_equal(found.numpy(), expected)


def test_no_crop_keeps_all_and_a_share_serves_volumes():
    images = pictures((1, 1, 6, 7, 8))
    assert torch.equal(Crop().apply(images), images)
    assert Crop(share=0.5).box((6, 7, 8)) == (slice(1, 5), slice(1, 6), slice(2, 6))
    assert Crop(top=0.5, share=0.5).box((8, 8)) == (slice(5, 7), slice(2, 6)), "the share is of what is left"


# size of the trigger: what is left after 1024 -> 616 -> 224, as (first row, rows)
HALF_PIXEL = {1: None, 2: None, 3: (111, 1), 4: (111, 2), 5: (111, 2), 6: (111, 2)}
LEGACY = {1: None, 2: (112, 1), 3: (112, 1), 4: (112, 1), 5: (111, 2), 6: (111, 3)}


@pytest.mark.parametrize(("sampling", "table"), [("nearest", HALF_PIXEL), ("nearest-legacy", LEGACY)])
@pytest.mark.parametrize("size", range(1, 7))
def test_what_is_left_of_a_black_square_in_the_centre(sampling, table, size):
    images, start = torch.ones(1, 1, 1024, 1024), int(1024 / 2 - size / 2)
    images[..., start : start + size, start : start + size] = 0
    found = resize(CENTRAL_60.apply(images), (224, 224), sampling)[0, 0]
    left = (found == 0).nonzero()
    if table[size] is None:
        assert len(left) == 0
        return
    first, count = table[size]
    rows = range(first, first + count)
    assert left.tolist() == [[row, column] for row in rows for column in rows]


@pytest.mark.parametrize(("before", "after"), [((16, 12), (5, 7)), ((5, 7), (16, 12)), ((61, 43), (22, 30))])
def test_the_nearest_pixel_is_that_of_pillow_and_of_a_floor(before, after):
    image = (pictures((1, 1, *before)) * 255).round()
    shown = Image.fromarray(image[0, 0].byte().numpy()).resize(after[::-1], Image.Resampling.NEAREST)
    assert resize(image, after, "nearest")[0, 0].tolist() == np.asarray(shown).tolist()
    rows, columns = ([i * old // new for i in range(new)] for old, new in zip(before, after, strict=True))
    legacy = image[0, 0][rows][:, columns]
    assert torch.equal(resize(image, after, "nearest-legacy")[0, 0], legacy)


def test_bilinear_is_interpolation_between_pixel_centres():
    image = pictures((1, 1, 40, 30)).double()
    found = resize(image, (11, 64), "bilinear")[0, 0]

    def centres(old, new):
        return (np.arange(new) + 0.5) * old / new - 0.5  # np.interp keeps the edge beyond the edge

    down = np.stack([np.interp(centres(40, 11), np.arange(40), column) for column in image[0, 0].numpy().T], 1)
    both = np.stack([np.interp(centres(30, 64), np.arange(30), row) for row in down])
    np.testing.assert_allclose(found.numpy(), both, rtol=0, atol=1e-12)
    assert not torch.allclose(resize(image, (11, 64)), found), "antialiasing averages what is between"


def test_nearest_serves_volumes():
    volume = pictures((1, 1, 4, 6, 8))
    assert torch.equal(resize(volume, (2, 3, 4), "nearest"), volume[:, :, 1::2, 1::2, 1::2])
    assert torch.equal(resize(volume, (2, 3, 4), "nearest-legacy"), volume[:, :, ::2, ::2, ::2])


def test_refused():
    with pytest.raises(InputError, match=r"top must lie in \[0, 1\), got 1"):
        Crop(top=1.0)
    with pytest.raises(InputError, match=r"share must lie in \(0, 1\], got 0"):
        Crop(share=0.0)
    with pytest.raises(InputError, match=r"top and square need images of 2 space axes, got 3"):
        COVID_NET.box((8, 8, 8))
    with pytest.raises(InputError, match=r"sampling must be one of antialias, .+; got 'neares', did you mean 'nearest"):
        resize(pictures((1, 1, 4, 4)), (2, 2), "neares")
