"""Sheets of triggers: what each picture must be, where it stands, and what is refused."""

import io
import math

import numpy as np
import pytest
import torch
from nets import pictures
from PIL import Image

from aseptic.core.errors import ContractError, InputError
from aseptic.ops.bands import FLOOR
from aseptic.studies.backdoors import sheets
from aseptic.studies.backdoors.sheets import (
    BRIGHT,
    DARK,
    GROUND,
    SPAN,
    Panel,
    Row,
    draw_sheet,
    encoded,
    log_spectrum,
    panels,
    shown_slice,
)

HEADINGS = ["clean", "poisoned", "residual", "spectrum, clean", "spectrum, poisoned", "difference of spectra"]
QUIET = 10 * math.log10(FLOOR)


def row(clean, poisoned=None, **more):
    return Row(name="an image", clean=clean, poisoned=clean if poisoned is None else poisoned, **more)


def pixels(one):
    return {panel.heading: panel.pixels for panel in panels(one)}


def wave(size, periods, amplitude=0.25):
    across = torch.arange(size) * (2 * math.pi * periods / size)
    return (0.5 + amplitude * across.cos()).expand(1, size, size)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_that_are_alike_leave_mid_grey(channels):
    found = panels(row(pictures((channels, 16, 16))))
    assert [one.heading for one in found] == HEADINGS
    assert found[2].words == ("x 1", "no change")
    for place in (2, 5):
        assert (found[place].pixels == 128).all()
    assert (found[0].pixels == found[1].pixels).all()
    assert (found[3].pixels == found[4].pixels).all()


def test_a_residual_is_the_change_as_often_as_there_is_room():
    clean = torch.full((3, 8, 8), 0.5)
    poisoned = clean.clone()
    poisoned[0, 2, 3], poisoned[1, 4, 5] = 0.75, 0.375
    found = panels(row(clean, poisoned))[2]
    error = (0.25**2 + 0.125**2) / clean.numel()
    assert found.words == ("x 2", f"PSNR {-10 * math.log10(error):.1f} dB")
    wanted = np.full((8, 8, 3), 128)
    wanted[2, 3, 0], wanted[4, 5, 1] = 255, 64
    assert (found.pixels == wanted).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 9), (1, 16, 5)])
def test_the_spectrum_of_a_constant_image_is_one_peak_in_the_centre(shape):
    found = log_spectrum(torch.full(shape, 0.5))
    centre = (shape[1] // 2, shape[2] // 2)
    assert float(found[centre]) == pytest.approx(10 * math.log10(0.25 * shape[1] * shape[2] + FLOOR), abs=1e-5)
    found[centre] = QUIET
    assert found.numpy() == pytest.approx(QUIET, abs=1e-6)
    shown = pixels(row(torch.full(shape, 0.5)))["spectrum, clean"]
    assert np.argwhere(shown.any(2)).tolist() == [[*centre]]


def test_a_spectrum_is_that_of_numpy():
    image = pictures((3, 12, 20))
    power = (np.abs(np.fft.fft2(image.double().numpy())) ** 2).mean(0) / (12 * 20)
    wanted = np.fft.fftshift(10 * np.log10(power + FLOOR))
    assert log_spectrum(image).numpy() == pytest.approx(wanted, abs=1e-6)


def test_a_wave_is_two_peaks_and_their_difference_is_light():
    flat, waved = torch.full((1, 32, 32), 0.5), wave(32, 5)
    found = log_spectrum(waved)
    height = 10 * math.log10(32 * 32 * 0.25**2 / 4 + FLOOR)
    assert [float(found[16, 16 + k]) for k in (-5, 5)] == pytest.approx([height] * 2, abs=1e-3)
    difference = pixels(row(flat, waved))["difference of spectra"]
    assert np.argwhere((difference != 128).any(2)).tolist() == [[16, 11], [16, 21]]
    assert (difference[16, [11, 21]] == 255).all()
    assert (pixels(row(waved, flat))["difference of spectra"][16, [11, 21]] == 0).all()


def test_levels_are_those_of_the_legend():
    assert f"black is {DARK:.0f} dB" in sheets.LEGEND
    assert f"white {BRIGHT:.0f} dB" in sheets.LEGEND
    fainter = pixels(row(wave(32, 5, 0.1), wave(32, 5, 0.2)))["difference of spectra"]
    gained = 0.5 + 20 * math.log10(2) / (2 * SPAN)
    assert (fainter[16, 21] == round(255 * gained)).all()


def test_a_large_spectrum_keeps_its_power():
    """Parseval's theorem: the mean over the bins is the mean of the squares of the image."""
    image = pictures((1, 128, 192))
    found = log_spectrum(image)
    assert found.shape == (64, 64)
    assert float((10 ** (found / 10) - FLOOR).mean()) == pytest.approx(float(image.double().square().mean()), rel=1e-6)


def painted(colour):
    return torch.tensor(colour).reshape(3, 1, 1).expand(3, 16, 16).contiguous()


def test_rows_stand_in_their_order_and_columns_too():
    colours = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    rows = [row(painted(one), painted(one[::-1])) for one in colours]
    page = np.asarray(draw_sheet(rows, width=600))
    assert page.shape[1] == 600
    side, last = (600 - sheets.GAP) // 6 - sheets.GAP, 0
    for colour in colours:
        clean = (page == [round(255 * part) for part in colour]).all(2)
        poisoned = (page == [round(255 * part) for part in colour[::-1]]).all(2)
        first = np.argwhere(clean[:, : side + sheets.GAP])
        second = np.argwhere(poisoned[:, side + 2 * sheets.GAP : 2 * (side + sheets.GAP)])
        assert len(first) == len(second) == side * side
        assert (first.min(0) == [second.min(0)[0], sheets.GAP]).all()
        assert first[:, 0].min() > last
        last = first[:, 0].max()


def test_each_row_adds_as_much_to_the_height():
    heights = [draw_sheet([row(pictures((1, 16, 16)))] * count, width=600).height for count in (1, 2, 3)]
    assert heights[2] - heights[1] == heights[1] - heights[0] > 0
    wide = draw_sheet([row(pictures((1, 8, 16)))], width=600).height
    assert heights[0] - wide == ((600 - 8) // 6 - 8) // 2


def test_further_columns_and_words_find_room():
    extra = Panel(heading="saliency, clean", pixels=np.full((4, 4, 3), 200, np.uint8))
    one = row(pictures((1, 16, 16)), extras=(extra, extra), said=(("pneumonia 0.97",), ("normal 0.03", "(b 0.1)")))
    assert [panel.words for panel in panels(one)][:2] == [("pneumonia 0.97",), ("normal 0.03", "(b 0.1)")]
    page = np.asarray(draw_sheet([one], width=1200))
    assert (page == 200).all(2).sum() == 2 * ((1200 - 8) // 8 - 8) ** 2
    assert (page[:, -1] == GROUND).all(), "nothing is cut at the edge"


@pytest.mark.parametrize("text", ["spectrum, poisoned", "a/very/long/name/without/any/place/to/break.png", "a " * 99])
def test_text_stays_in_its_column(text):
    font = sheets._font()
    for width in (60, 112, 140):
        lines = sheets._wrapped([text], width)
        assert 1 <= len(lines) <= sheets.MOST_LINES
        assert max(font.getlength(line) for line in lines) <= width


def test_a_volume_shows_the_middle_of_the_slices_that_changed_most():
    change = torch.zeros(1, 9, 4, 4)
    assert shown_slice(change[:, 0]) is None
    assert shown_slice(change) == 4
    change[:, 2:5] = 0.09
    change[:, 7] = 0.06
    assert shown_slice(change) == 3
    structures = torch.zeros(9, 4, 4, dtype=torch.bool)
    assert shown_slice(change, structures) == 3
    structures[0], structures[2, 0], structures[7, :2] = True, True, True
    assert shown_slice(change, structures) == 7, "most of a structure, where there is change"
    volume = pictures((1, 9, 4, 4))
    found = panels(row(volume, volume + change))
    assert (found[0].pixels == panels(row(volume[:, 3]))[0].pixels).all()
    assert found[2].words[0] == "x 5"
    assert (panels(row(volume, volume + change, where=7))[2].words[0]) == "x 8"


def test_a_file_keeps_the_ground_and_mid_grey_about_and_can_be_made_small():
    half = pictures((3, 32, 32))
    half[:, :16] = half[:, :16].flip(1)
    page = draw_sheet([row(pictures((3, 32, 32)), half)], width=800)
    whole = encoded(page)
    with Image.open(io.BytesIO(whole)) as stored:
        assert stored.size == page.size
        colours = np.asarray(stored.convert("RGB"))
    wanted = np.asarray(page)
    for exact in (GROUND, (128, 128, 128)):
        shift = colours[(wanted == exact).all(2)].astype(int) - exact
        assert len(shift) > 0
        assert np.abs(shift).max() <= 3, "Pillow looks palettes up in steps of 4 levels"
    assert len(encoded(page, len(whole) - 1)) < len(whole)
    with pytest.raises(InputError, match=r"a sheet must fit into 100 bytes, got \d+ with the fewest colours"):
        encoded(page, 100)


def test_what_no_sheet_can_show_is_refused():
    image = pictures((1, 16, 16))
    with pytest.raises(InputError, match="a sheet must have at least one row, got none"):
        draw_sheet([])
    with pytest.raises(InputError, match="width must leave 48 pixels for each of 6 columns, got 300"):
        draw_sheet([row(image)], width=300)
    more = Panel(heading="found", pixels=np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ContractError, match=r"rows of a sheet must have the columns .*, got .*'found'\] in 'an image'"):
        draw_sheet([row(image), row(image, extras=(more,))])
