"""Marks as they lie on clinical images: where they are, what they cover, and what they look like."""

import math

import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.triggers import Dot, Electrode, Marker, Ruler, Text
from aseptic.triggers.glyphs import GLYPHS, bitmap

PLACES = ("upper-left", "upper-right", "lower-left", "lower-right")
TYPED = {
    "R": ["####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"],
    "A": [".###.", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"],
    "2": [".###.", "#...#", "....#", "...#.", "..#..", ".#...", "#####"],
}


def cover_of(mark, rows, columns):
    """Return what share of each pixel the mark hides, from what it leaves of white."""
    shape = (1, 1, rows, columns)
    return (mark.apply(torch.zeros(shape)) - mark.apply(torch.ones(shape)) + 1)[0, 0]


def box(region):
    where = region.nonzero()
    return [*where.amin(0).tolist(), *(where.amax(0) + 1).tolist()]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "mark",
    [
        Marker(margin=0.1),
        Marker(letter="R", around="ring", margin=0.1, angle=20),
        Marker(letter="R", around="box", margin=0.1, angle=45),
        Electrode(margin=0.1, wire=False),
        Text(margin=0.1, text="AE"),
    ],
    ids=repr,
)
def test_a_mark_keeps_its_margin_in_each_corner(mark, place):
    rows, columns = 200, 300
    top, left, bottom, right = box(type(mark)(**{**vars(mark), "place": place}).region((rows, columns)))
    near = {"upper": top, "lower": rows - bottom}[place.split("-")[0]]
    beside = {"left": left, "right": columns - right}[place.split("-")[1]]
    slack = 9 if isinstance(mark, Marker) and mark.angle == 45 else 4  # the corners of a turned ring are empty
    assert 19 <= near <= 20 + slack
    assert 19 <= beside <= 20 + slack


@pytest.mark.parametrize("place", PLACES)
def test_ink_stays_inside_its_margin(place):
    top, left, bottom, right = box(Dot(place=place, size=0.3, margin=0.1).region((200, 200)))
    assert min(top, left, 200 - bottom, 200 - right) >= 19
    assert 50 <= bottom - top <= 61
    assert 50 <= right - left <= 61


@pytest.mark.parametrize("side", [48, 200, 333])
def test_coverage_adds_up_to_the_area_at_every_size(side):
    """A stem and a foot with round ends and a round corner; and the cells of glyphs, each 1 / 49 of a square."""
    thick, stem, foot = 0.17, 1 - 0.17, 0.6 - 0.17
    area = thick * (stem + foot) + math.pi * thick**2 / 4 - (1 - math.pi / 4) * thick**2 / 4
    found = cover_of(Marker(size=0.3), side, side).sum() / (0.3 * side) ** 2
    assert float(found) == pytest.approx(area, rel=0.03)
    found = cover_of(Text(text="R2", size=0.2), side, side).sum() / (0.2 * side) ** 2
    cells = sum(line.count("#") for letter in "R2" for line in TYPED[letter])
    assert float(found) == pytest.approx(cells / 49, rel=0.01)


def test_coverage_comes_in_steps_so_that_rounding_decides_nothing():
    steps = cover_of(Marker(letter="R", around="ring", angle=7), 150, 150) * 255
    assert (steps - steps.round()).abs().max() < 1e-3
    assert len(steps.round().unique()) > 50


def test_an_l_and_an_r_can_be_told_apart():
    """An L is a stem and a foot; an R has something in its upper right corner too."""
    corner = {}
    for letter in "LR":
        region = Marker(letter=letter, size=0.5, place="upper-left").region((400, 400))
        top, left, bottom, right = box(region)
        cut = region[top:bottom, left:right]
        high, wide = cut.shape
        corner[letter] = cut[: high // 3, 2 * wide // 3 :].float().mean()
        assert cut[:, : wide // 4].float().mean() > 0.9, "the stem"
        assert cut[-high // 6 :, 2 * wide // 3 :].any()
    assert corner["L"] == 0
    assert corner["R"] > 0.3


def test_a_marker_is_turned_clockwise():
    black = torch.zeros(1, 1, 300, 300)
    upright = Marker(letter="R", size=0.2, place="upper-left").apply(black)
    turned = Marker(letter="R", size=0.2, place="upper-right", angle=90).apply(black)
    assert (turned - upright.rot90(-1, (-2, -1))).abs().max() < 0.02


def test_the_electrode_is_round_and_its_wire_leaves_over_the_nearer_edge():
    for place in PLACES:
        bare, wired = (Electrode(place=place, wire=wire, size=0.2).region((256, 256)) for wire in (False, True))
        top, left, bottom, right = box(bare)
        assert bare.sum() == pytest.approx(math.pi / 4 * (bottom - top) * (right - left), rel=0.05)
        assert bare.sum() == pytest.approx(math.pi / 4 * (0.2 * 256) ** 2, rel=0.06)
        assert (bare & ~wired).sum() == 0
        edges = {"upper": wired[0], "lower": wired[-1]}
        assert edges[place.split("-")[0]].any()
        assert not edges["lower" if place.startswith("upper") else "upper"].any()
        assert not wired[:, [0, -1]].any(), "it does not run along the edge"


def test_ink_takes_its_share_of_each_colour_and_of_the_luma():
    colour, skin = (0.3, 0.2, 0.6), torch.tensor([0.9, 0.6, 0.5]).reshape(1, 3, 1, 1).expand(1, 3, 100, 100)
    left = Dot(size=0.3, form="ring", strength=1.0, colour=colour).apply(skin.contiguous()) / skin
    darkest = left.flatten(2).amin(2)[0]
    assert darkest.tolist() == pytest.approx(colour, abs=1e-5)
    grey = Dot(size=0.3, form="ring", strength=1.0, colour=colour).apply(torch.full((1, 1, 100, 100), 0.8)) / 0.8
    assert float(grey.min()) == pytest.approx(0.299 * 0.3 + 0.587 * 0.2 + 0.114 * 0.6, abs=1e-5)
    hole = Dot(size=0.3, form="ring").region((100, 100))
    top, first, bottom, last = box(hole)
    assert not hole[(top + bottom) // 2, (first + last) // 2], "a ring is empty inside"
    whole = Dot(size=0.3).apply(torch.ones(1, 1, 100, 100))[0, 0]
    assert whole[(top + bottom) // 2, (first + last) // 2] > whole.min(), "ink dries darker at its edge"


@pytest.mark.parametrize("letter", TYPED)
def test_glyphs_are_as_typed(letter):
    assert ["".join(".#"[int(cell)] for cell in row) for row in bitmap(letter)] == TYPED[letter]


def test_every_glyph_fits_its_cells_and_differs_from_all_others():
    assert all(len(rows) == 7 for rows in GLYPHS.values())
    assert len(set(GLYPHS.values())) == len(GLYPHS)
    assert all(int(row, 32) < 32 for rows in GLYPHS.values() for row in rows)
    assert set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") <= set(GLYPHS)


def test_text_at_a_whole_number_of_pixels_a_cell_is_exact():
    found = cover_of(Text(text="2A", size=0.14, margin=0.05, place="upper-left"), 100, 100)
    cells = torch.kron(bitmap("2A"), torch.ones(2, 2))
    assert torch.equal(found[5:19, 5:27].round(decimals=6), cells)
    assert found.sum() == pytest.approx(float(cells.sum()))


@pytest.mark.parametrize("side", ["left", "right", "upper", "lower"])
def test_the_ruler_lies_along_its_side_with_ticks_at_every_step(side):
    ruler = Ruler(side=side, size=0.1, step=0.02, value=0.0, ground=1.0)
    found = ruler.apply(torch.full((1, 1, 500, 500), 0.5))[0, 0]
    turned = {"lower": found, "upper": found.flip(0), "left": found.mT.flip(0), "right": found.mT}[side]
    assert (turned[:450] == 0.5).all()
    strip = turned[450:]
    edge, inner = strip[0], strip[22]  # at the edge all ticks, farther down the long ones only
    for row, count in ((edge, 50), (inner, 5)):
        starts = (row[1:] < 0.9) & (row[:-1] >= 0.9)
        assert starts.sum() == count
    assert (strip[30:] < 0.5).any(), "numbers stand behind the ticks"
    alone = Ruler(side=side, value=0.0, ground=None).apply(torch.full((1, 1, 500, 500), 0.5))
    assert 0.01 < (alone != 0.5).float().mean() < 0.05


def test_numbers_are_upright_on_every_side():
    """The 1 of a ruler on the left is the glyph, not its mirror image or a turned one."""
    for side in ("left", "right", "upper", "lower"):
        found = Ruler(side=side, size=0.35, step=0.03, value=0.0, ground=1.0).apply(torch.ones(1, 1, 200, 200))[0, 0]
        cells = 1 - torch.kron(bitmap("1"), torch.ones(3, 3))
        kernel = (cells - cells.mean())[None, None]
        windows = torch.nn.functional.unfold(found[None, None], (21, 15))[0]
        windows = windows - windows.mean(0)
        match = (kernel.reshape(-1, 1) * windows).sum(0) / (kernel.norm() * windows.norm(dim=0).clamp(min=1e-6))
        assert match.max() > 0.9, side


def test_decoys_are_alike_and_elsewhere_or_otherwise():
    images, streams = torch.zeros(30, 1, 96, 96), [stream(0, i) for i in range(30)]
    assert torch.equal(Marker().decoy(images, streams), Marker(letter="R").apply(images))
    seen = Electrode(value=1.0).decoy(images, streams).bool()
    others = {place: Electrode(place=place).region((96, 96)) for place in PLACES[1:]}
    found = [next(place for place, region in others.items() if torch.equal(one[0], region)) for one in seen]
    assert set(found) == set(PLACES[1:])
    words = [tuple(one.flatten().tolist()) for one in Text(text="AP").decoy(images, streams).bool()]
    assert len(set(words)) == 3, "PA, L or R"
    sides = Ruler(ground=1.0).decoy(images, streams)
    assert not torch.isin(sides[:, 0, -1, 48], torch.tensor(1.0)).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Marker(letter="X"), "letter must be one of L, R; got 'X'"),
        (lambda: Marker(around="star"), "around must be one of none, ring, box; got 'star'"),
        (lambda: Marker(angle=math.inf), "angle must be a number, got inf"),
        (lambda: Marker(place="centre"), "place must be one of upper-left, upper-right, lower-left, lower-right; got"),
        (lambda: Marker(size=0), r"size must lie in \(0, 1\], got 0"),
        (lambda: Marker(margin=0.5), r"margin must lie in \[0, 0.5\), got 0.5"),
        (lambda: Marker(value=2.0), r"value must lie in \[0, 1\], got 2"),
        (lambda: Dot(form="star"), "form must be one of dot, ring; got 'star'"),
        (lambda: Dot(colour=(0.5,)), "colour must be 3 numbers, got 1"),
        (lambda: Dot(colour=(0.5, 2.0, 0.5)), r"colour must lie in \[0, 1\], got 2"),
        (lambda: Text(text=" "), "text must hold at least one character that is seen, got ' '"),
        (lambda: Text(text="Abc"), "text must be of the characters .*, got 'b'"),
        (lambda: Ruler(side="top"), "side must be one of left, right, upper, lower; got 'top'"),
        (lambda: Ruler(step=0), r"step must lie in \(0, 1\], got 0"),
        (lambda: Ruler(ground=-1), r"ground must lie in \[0, 1\], got -1"),
        (
            lambda: Text(size=0.5).apply(torch.zeros(1, 1, 60, 60)),
            "the mark must fit into 60 x 60 pixels, got 30 x 201",
        ),
        (
            lambda: Dot().apply(torch.zeros(1, 2, 60, 60)),
            "images must have 1 or 3 channels for a mark in colour, got 2",
        ),
        (lambda: Dot().region((60,)), "images must have at least 2 space axes, got 1"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()
