"""Sheets of triggers: for each image a row with what it was, what it became, what changed, and both spectra."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import ContractError, InputError
from aseptic.core.types import Image
from aseptic.metrics.distortion import distortion
from aseptic.ops.bands import FLOOR
from aseptic.studies.yardsticks.drawing import MIDDLE, amplification, rgb

WIDTH = 1200
"""Pixels that a sheet is wide, where nothing else is asked for."""
LEAST = 48
"""Pixels that a picture is wide, at least."""
GAP, TEXT, LINE = 8, 14, 18
"""Pixels between pictures, of the letters, and from line to line."""
MOST_LINES = 3
"""Lines below a picture, at most."""
GROUND, INK, MID = (253, 253, 251), (0, 0, 0), 128
"""Colours of the sheet and of what is written on it, and the level of mid-grey."""
DARK, BRIGHT = 10 * math.log10(FLOOR), 20.0
"""Power that is black in a spectrum, what rounding to 8 bits leaves, and power that is white, in dB."""
BINS = 64
"""Bins of a drawn spectrum along each axis, at most: speckle is averaged away, and a lone peak still seen."""
SPAN = 6.0
"""Difference of two spectra that is black or white, in dB."""
NEAR, ROUGHLY = 0.9, 0.5
"""Share of the largest change from which a slice may be shown, and from which it may where structures decide."""
PALETTES = ((64, 190), (48, 144), (32, 112), (24, 80), (18, 60), (16, 44), (16, 32))
"""Numbers of greys and of other colours that are tried in turn for a file that must be small."""
LEGEND = (
    "Residual: the change, times the number below it; mid-grey is no change. Spectra: power of each frequency, "
    f"logarithmic, 0 in the centre; black is {DARK:.0f} dB, what rounding to 8 bits leaves, white {BRIGHT:.0f} dB. "
    f"Their difference: mid-grey is none, white {SPAN:.0f} dB more when poisoned, black {SPAN:.0f} dB less."
)
"""How the columns that every sheet has are read."""
Plane = Float[Tensor, "row column"]
Spectrum = Float[Tensor, "up along"]
Shown = UInt8[np.ndarray, "tall wide 3"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One picture of a row."""

    heading: str
    """Heading of the column."""
    pixels: Shown
    """The picture; it is resized to its place."""
    words: tuple[str, ...] = ()
    """Lines below it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """An image, and the same image with a trigger."""

    name: str
    """What stands above the row."""
    clean: Image
    """The image, ``[channel, *space]`` in [0, 1]."""
    poisoned: Image
    """The image with the trigger."""
    said: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """Lines below the clean image, and below the poisoned one."""
    extras: tuple[Panel, ...] = ()
    """Further columns."""
    where: int | None = None
    """Slice of a volume along its first space axis; None: as `shown_slice` has it."""


def draw_sheet(rows: Sequence[Row], *, width: int = WIDTH, foot: Sequence[str] = ()) -> Pillow.Image:
    """Return the sheet: headings, the rows in their order, and how to read them.

    Columns: the clean image, the poisoned one, the residual, the spectrum of both, the difference of the spectra, and
    what the rows have besides.

    Args:
        rows: Images with and without a trigger.
        width: Pixels from left to right.
        foot: Further sentences below the rows.

    Raises:
        InputError: There are no rows, the width leaves no room for the columns, or the images of a row differ in shape.
        ContractError: The rows do not have the same columns.
    """
    if not rows:
        raise InputError("a sheet must have at least one row, got none")
    table = [panels(row) for row in rows]
    headings = [panel.heading for panel in table[0]]
    for row, line in zip(rows, table, strict=True):
        if (found := [panel.heading for panel in line]) != headings:
            raise ContractError(f"rows of a sheet must have the columns {headings}, got {found} in {row.name!r}")
    side = (width - GAP) // len(headings) - GAP
    if side < LEAST:
        raise InputError(f"width must leave {LEAST} pixels for each of {len(headings)} columns, got {width}")
    strips = [
        _texts([_wrapped([heading], side) for heading in headings], side, width),
        *(strip for row, line in zip(rows, table, strict=True) for strip in _strips(row, line, side, width)),
        *(_text(_wrapped([one], width - 2 * GAP, most=9), width) for one in (LEGEND, *foot)),
    ]
    page = Pillow.new("RGB", (width, sum(one.height for one in strips) + 2 * GAP), GROUND)
    top = GAP
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    return page


def panels(row: Row) -> list[Panel]:
    """Return the pictures of a row, from left to right.

    Raises:
        InputError: The images differ in shape.
    """
    measured = distortion(row.clean[None].numpy(), row.poisoned[None].numpy())
    change = row.poisoned - row.clean
    where = shown_slice(change) if row.where is None else row.where
    clean, poisoned, change = (one if where is None else one[:, where] for one in (row.clean, row.poisoned, change))
    factor, decibels = amplification(change), float(measured.psnr[0])
    spectra = [log_spectrum(one) for one in (clean, poisoned)]
    visible = "no change" if math.isnan(decibels) else f"PSNR {decibels:.1f} dB"
    return [
        Panel(heading="clean", pixels=rgb(clean), words=row.said[0]),
        Panel(heading="poisoned", pixels=rgb(poisoned), words=row.said[1]),
        Panel(heading="residual", pixels=residual(change, factor), words=(f"x {factor}", visible)),
        *(
            Panel(heading=f"spectrum, {name}", pixels=_grey((one - DARK) / (BRIGHT - DARK)))
            for name, one in zip(("clean", "poisoned"), spectra, strict=True)
        ),
        Panel(heading="difference of spectra", pixels=_grey(MIDDLE + (spectra[1] - spectra[0]) / (2 * SPAN))),
        *row.extras,
    ]


def residual(change: Float[Tensor, "channel row column"], factor: int) -> Shown:
    """Return a change on mid-grey, this many times amplified."""
    return rgb((MIDDLE + factor * change).clamp(0, 1))


def log_spectrum(image: Float[Tensor, "channel row column"]) -> Spectrum:
    r"""Return :math:`10 \log_{10}(\overline{|F|^2} / n + f)` in dB, frequency 0 in the centre.

    ``F`` is the Fourier transform, ``n`` the number of pixels and ``f`` what rounding leaves, as
    `aseptic.ops.bands.log_bands` has it; the mean is over the channels, and over neighbours where an axis has more
    than 64 frequencies.
    """
    power = torch.fft.fft2(image.double()).abs().square().mean(0) / math.prod(image.shape[1:])
    bins = (min(BINS, power.shape[0]), min(BINS, power.shape[1]))
    pooled = F.adaptive_avg_pool2d(torch.fft.fftshift(power)[None], bins)[0]
    return 10 * (pooled + FLOOR).log10()


def shown_slice(change: Image, structures: Bool[Tensor, "*space"] | None = None) -> int | None:
    """Return the slice of a volume that is shown, along its first space axis; None for a picture.

    It is the middle one of those that changed about as much as the one that changed most.

    Args:
        change: What a trigger changed.
        structures: Where there is something of interest. Then it is the slice with most of that, among those that
            changed at least half as much as the one that changed most.
    """
    if change.ndim < 4:  # noqa: PLR2004 - channel, row, column
        return None
    much = change.abs().sum((0, 2, 3))
    interest = None if structures is None else structures.flatten(1).sum(1)
    decided = interest is not None and bool((interest > 0).any())
    there = much >= (ROUGHLY if decided else NEAR) * much.max()
    if interest is not None and decided:
        return int(interest.masked_fill(~there, -1).argmax())
    places = there.nonzero()[:, 0].tolist()
    return int(places[len(places) // 2])


def encoded(page: Pillow.Image, limit: int | None = None) -> bytes:
    """Return a sheet as PNG with a palette, with as many colours as fit into ``limit`` bytes where there is one.

    Raises:
        InputError: Even the fewest colours do not fit.
    """
    for greys, colours in PALETTES:
        palette = Pillow.new("P", (1, 1))
        adapted = page.quantize(colours, method=Pillow.Quantize.MEDIANCUT).getpalette() or []
        # Spectra are grey and show noise: without greys of their own they would take those of the images, tinted.
        shades = [MID, *(round(255 * k / (greys - 1)) for k in range(greys))]
        palette.putpalette([*GROUND, *(level for shade in shades for level in (shade,) * 3), *adapted[: 3 * colours]])
        held = io.BytesIO()
        page.quantize(palette=palette, dither=Pillow.Dither.NONE).save(held, "PNG", optimize=True)
        if limit is None or held.tell() <= limit:
            return held.getvalue()
    raise InputError(f"a sheet must fit into {limit} bytes, got {held.tell()} with the fewest colours")


def _grey(levels: Plane) -> Shown:
    return rgb(levels.clamp(0, 1).float()[None])


def _strips(row: Row, line: Sequence[Panel], side: int, width: int) -> Iterator[Pillow.Image]:
    """Yield the name of a row, its pictures, and what stands below them."""
    name = row.name
    yield _text(_wrapped([name], width - 2 * GAP, most=1), width)
    fitted = [_fitted(panel.pixels, side) for panel in line]
    strip = Pillow.new("RGB", (width, max(one.height for one in fitted) + 2), GROUND)
    for place, one in enumerate(fitted):
        strip.paste(one, (_left(place, side) + (side - one.width) // 2, 0))
    yield strip
    yield _texts([_wrapped(panel.words, side) for panel in line], side, width)


def _left(place: int, side: int) -> int:
    return GAP + place * (side + GAP)


def _fitted(pixels: Shown, side: int) -> Pillow.Image:
    """Return a picture whose longer side is ``side``: pixels are averaged where it shrinks, repeated where it grows."""
    tall, wide = pixels.shape[:2]
    scale = side / max(tall, wide)
    size = (max(1, round(wide * scale)), max(1, round(tall * scale)))
    return Pillow.fromarray(pixels).resize(size, Pillow.Resampling.BOX)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=TEXT)


def _texts(columns: Sequence[Sequence[str]], side: int, width: int) -> Pillow.Image:
    """Return a strip with some lines of text in each column."""
    lines = max(len(column) for column in columns)
    strip = Pillow.new("RGB", (width, lines * LINE + GAP // 2), GROUND)
    pen, font = ImageDraw.Draw(strip), _font()
    for place, column in enumerate(columns):
        for number, text in enumerate(column):
            pen.text((_left(place, side), number * LINE), text, fill=INK, font=font)
    return strip


def _text(lines: Sequence[str], width: int) -> Pillow.Image:
    """Return a strip with lines across the sheet."""
    return _texts([lines], width, width)


def _wrapped(lines: Sequence[str], width: int, most: int = MOST_LINES) -> list[str]:
    """Return the lines broken between words where they are too wide; what is too much ends in dots."""
    font = _font()
    found: list[str] = []
    for line in lines:
        current = ""
        for word in line.split():
            longer = f"{current} {word}".strip()
            if current and font.getlength(longer) > width:
                found.append(current)
                longer = word
            current = longer
        found.append(current)
    kept = found[:most] if len(found) <= most else [*found[: most - 1], f"{found[most - 1]} ..."]
    return [_cut(line, width) for line in kept]


def _cut(line: str, width: int) -> str:
    """Return as much of a line as there is room for."""
    font, kept = _font(), line
    while kept and font.getlength(kept if kept == line else f"{kept}...") > width:
        kept = kept[:-1]
    return kept if kept == line else f"{kept}..."
