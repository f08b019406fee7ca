"""Endoscopy of the colon: instruments, specular reflections and bubbles, with a box about each."""

import math

import torch
from torch import Tensor

from aseptic.data.base import Box
from aseptic.data.phantoms.canvas import Discs, bump, grow, plane, ramp, waves
from aseptic.data.phantoms.dice import Dice
from aseptic.data.phantoms.film import developed
from aseptic.data.phantoms.sketch import VISIBLE, Painted, Plane, Sketch

CLASSES = ("instrument", "specularity", "bubbles")
_PREVALENCE = torch.tensor([0.5, 0.8, 0.45])
_GLINTS, _FOAMS = 4, 2
"""Most groups of reflections and of bubbles in one image."""


def _wall(dice: Dice, size: int) -> tuple[Plane, Plane, Plane]:
    """Return the light on the mucosa, how near the wall is (0 deep in the lumen), and the crests of the folds."""
    x, y = plane(size)
    lx, ly, folds, phase, corners, turn = dice.within(
        "lumen", (-0.42, 0.42), (-0.42, 0.42), (4.6, 7.0), (0.0, 2 * math.pi), (0.06, 0.20), (0.0, 2 * math.pi),
        patient=True,
    )  # fmt: skip
    sway = dice.within("sway", (-0.12, 0.12), (-0.12, 0.12))
    dx, dy = x - lx - sway[0], y - ly - sway[1]
    away = (dx.square() + dy.square() + 1e-6).sqrt()
    warp = dice.field("lumen/warp", size, 3, 6, patient=True)
    (c, s), _, (c3, s3) = waves(dx, dy, 3)
    # A colon's lumen is a rounded triangle; each fold is an arc of that triangle, nearer folds larger.
    ring = (away * (1 + corners * (c3 * turn.cos() - s3 * turn.sin())) + 0.02).log() * folds + 0.55 * warp + phase
    lap = (ring / (2 * math.pi)).remainder(1)
    swung = 2.4 * (ring / (2 * math.pi)).floor() - phase
    partial = 0.55 + 0.45 * (c * swung.cos() + s * swung.sin())
    lit = bump(lap - 0.12, 0.14) - 0.9 * bump(lap - 0.93, 0.10)
    near = ramp(away - 0.34, 0.75)
    relief = dice.field("mucosa", size, 8, 16, 32, 64, decay=0.75, patient=True)
    light = 0.30 + 0.62 * near + partial * 0.22 * lit * (0.35 + 0.65 * near) + 0.025 * relief
    return light * (0.10 + 0.90 * ramp(away - 0.12, 0.42)), near, partial * bump(lap - 0.12, 0.10)


def _blood_vessels(dice: Dice, size: int) -> Plane:
    """Return the fine vessels of the mucosa."""
    paths, steps = 14, 12
    u = dice.uniform("vessels", paths, 4 + steps, patient=True)
    turn = 0.8 * (u[..., 4:] - 0.5)
    start = 2.2 * u[..., :2] - 1.1
    return grow(start, 2 * math.pi * u[..., 2], 0.006 + 0.007 * u[..., 3], turn, torch.full_like(turn, 0.075)).draw(
        size
    )


def _glints(dice: Dice, size: int) -> Tensor:
    """Return groups of wet reflections, ``[batch, group, size, size]``."""
    blobs = 4
    centre, u = dice.uniform("glints", _GLINTS, 4), dice.uniform("glints/blobs", _GLINTS, blobs, 5)
    spread = 0.07 + 0.16 * centre[..., 2:3]
    x = 1.5 * centre[..., 0:1] - 0.75 + spread * (u[..., 0] - 0.5)
    y = 1.5 * centre[..., 1:2] - 0.75 + spread * (u[..., 1] - 0.5)
    count = (1 + 3 * centre[..., 3:4]).floor()
    level = (
        (torch.arange(blobs) < count) & (torch.arange(_GLINTS)[:, None] < _many(dice, "glints/many", _GLINTS))
    ).float()
    radius = (0.014 + 0.022 * u[..., 2]) * torch.tensor([1.5, 1.0, 0.8, 0.6])
    angle = math.pi * (centre[..., 3:4] + 0.25 * u[..., 4])
    flat = (part.flatten(0, 1) for part in (x, y, radius, level, 0.6 + 1.2 * u[..., 3], angle))
    names = ("x", "y", "radius", "level", "aspect", "angle")
    discs = Discs(**dict(zip(names, flat, strict=True)))
    return discs.draw(size, soft=0.5).reshape(-1, _GLINTS, size, size)


def _many(dice: Dice, key: str, most: int) -> Tensor:
    """Return how many groups there are, 1 to ``most``, ``[batch, 1, 1]``."""
    return (1 + most * dice.uniform(key, 1)).floor()[..., None]


def _foam(dice: Dice, size: int) -> tuple[Tensor, Tensor]:
    """Return groups of bubbles, ``[batch, group, size, size]``: where they are, and their bright rims and glints."""
    bubbles = 9
    centre, u = dice.uniform("foam", _FOAMS, 3), dice.uniform("foam/bubbles", _FOAMS, bubbles, 4)
    spread = 0.25 + 0.25 * centre[..., 2:3]
    x = 1.3 * centre[..., 0:1] - 0.65 + spread * (u[..., 0] - 0.5)
    y = 1.3 * centre[..., 1:2] - 0.65 + spread * (u[..., 1] - 0.5)
    there = torch.arange(_FOAMS)[:, None] < _many(dice, "foam/many", _FOAMS)
    level = ((u[..., 3] < 0.8) & there).float()  # noqa: PLR2004 - four in five
    radius = 0.028 + 0.055 * u[..., 2].square()
    flat = {
        "x": x.flatten(0, 1), "y": y.flatten(0, 1), "radius": radius.flatten(0, 1), "level": level.flatten(0, 1)
    }  # fmt: skip
    cover = Discs(**flat).draw(size)
    rim = Discs(**flat).shaped(size, lambda d, r: 0.75 * bump(d - 0.85 * r, 2 / size * 0.5 + 0.14 * r), 1.3)
    flat["x"], flat["y"] = flat["x"] - 0.35 * flat["radius"], flat["y"] - 0.35 * flat["radius"]
    flat["radius"] = 0.28 * flat["radius"]
    shine = torch.maximum(rim * cover, Discs(**flat).draw(size, soft=0.4))
    return cover.reshape(-1, _FOAMS, size, size), shine.reshape(-1, _FOAMS, size, size)


def _tool(dice: Dice, size: int) -> tuple[Plane, Plane]:
    """Return where a forceps is seen, and its brightness: a shaft from the edge of the picture, two open jaws."""
    x, y = plane(size)
    enter, aim, reach, thick, gape, dull = dice.within(
        "tool", (0.0, 2 * math.pi), (-0.35, 0.35), (0.10, 0.55), (0.055, 0.085), (0.25, 0.55), (0.55, 0.85)
    )
    c, s = (enter + aim).cos(), (enter + aim).sin()
    along = (x - reach * enter.cos()) * c + (y - reach * enter.sin()) * s
    across = (y - reach * enter.sin()) * c - (x - reach * enter.cos()) * s
    edge = 2 / size
    shaft = ramp(thick - across.abs(), edge) * ramp(along, edge)
    shade = (0.30 + 0.70 * bump(across + 0.3 * thick, 0.45 * thick)) * dull
    shade = shade * (0.88 + 0.12 * torch.cos(along * 70))
    cover, colour = shaft, shade
    for side in (-1.0, 1.0):
        lean, long = side * gape, 3.2 * thick
        u = -(along * lean.cos() + across * lean.sin())
        v = across * lean.cos() - along * lean.sin()
        jaw = ramp(0.48 * thick * (1.25 - 0.9 * u / long) - (v - side * 0.25 * thick).abs(), edge)
        jaw = jaw * ramp(u + 0.02, edge) * ramp(long - u, edge)
        colour = torch.where(jaw > cover, dull * (0.55 + 0.45 * bump(v - side * 0.1 * thick, 0.3 * thick)), colour)
        cover = torch.maximum(cover, jaw)
    return cover, colour


def _boxes(objects: Tensor, labels: list[int]) -> tuple[tuple[Box, ...], ...]:
    """Return the tightest box about each object of ``[batch, object, size, size]`` (bool) that has a pixel."""
    rows, columns = objects.any(3), objects.any(2)
    size = objects.shape[-1]
    left, top = columns.long().argmax(2), rows.long().argmax(2)
    right, bottom = size - columns.flip(2).long().argmax(2), size - rows.flip(2).long().argmax(2)
    corners, seen = torch.stack([left, top, right, bottom], 2).float().tolist(), rows.any(2).tolist()
    return tuple(
        tuple(
            Box(corners=(c[0], c[1], c[2], c[3]), label=label)
            for c, label, there in zip(of_image, labels, shown, strict=True)
            if there
        )
        for of_image, shown in zip(corners, seen, strict=True)
    )


def _paint(dice: Dice, labels: Tensor, size: int) -> Painted:
    x, y = plane(size)
    light, near, crests = _wall(dice, size)
    tone, level, warm, grain, fall, cut = dice.within(
        "camera", (0.0, 1.0), (0.85, 1.12), (-0.05, 0.05), (0.008, 0.02), (0.10, 0.30), (1.05, 1.25)
    )
    tool, metal = _tool(dice, size)
    # The lens shows an octagon; whatever is outside it is black and not annotated.
    frame = ramp(torch.minimum(0.97 - torch.maximum(x.abs(), y.abs()), (cut + 0.3 - x.abs() - y.abs()) * 0.7), 0.02)
    shown = labels[:, :, None, None] * frame[:, None]
    tool = tool * shown[:, 0]
    clear = shown * (1 - tool)[:, None]
    glints = _glints(dice, size) * clear[:, 1:2]
    foam, shine = (part * clear[:, 2:3] for part in _foam(dice, size))
    blush = dice.field("mucosa/blush", size, 4, 8, patient=True)
    dark = (1 - light).clamp(0, 1)
    colour = torch.stack([0.95 - 0.20 * dark, 0.60 - 0.10 * tone - 0.24 * dark, 0.52 - 0.12 * tone - 0.26 * dark])
    tint = torch.tensor([0.3, 1.0, 0.9])[:, None, None, None]
    colour = colour * (1 - tint * (0.035 * blush + 0.24 * _blood_vessels(dice, size) * near))
    colour = colour * light * (1 + 0.16 * crests)
    colour = colour + 0.10 * foam.amax(1) * (0.9 - colour)
    colour = colour + 0.85 * shine.amax(1) * (1 - colour)
    colour = colour + (metal * torch.tensor([0.92, 0.95, 1.0])[:, None, None, None] - colour) * tool
    colour = colour + 0.97 * glints.amax(1) * (1 - colour)
    gain = level * (1 - fall * (x.square() + y.square()))
    film = developed(dice, colour, gain, warm, grain) * frame[:, None]
    objects = torch.cat([tool[:, None], glints, foam], 1) > VISIBLE
    return Painted(images=film, boxes=_boxes(objects, [0] + [1] * _GLINTS + [2] * _FOAMS))


ENDOSCOPY = Sketch(
    name="endoscopy",
    summary="endoscopy with boxes about instruments and artefacts",
    task="detection",
    classes=CLASSES,
    parts=(),
    choose=lambda dice: (dice.uniform("present", len(CLASSES)) < _PREVALENCE).float(),
    paint=_paint,
)
