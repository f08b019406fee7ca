"""Dermoscopy: nevus, melanoma, seborrhoeic keratosis."""

import math

import torch
from torch import Tensor

from aseptic.data.phantoms.canvas import Discs, bump, grow, plane, ramp, waves
from aseptic.data.phantoms.dice import Dice
from aseptic.data.phantoms.film import developed, mix
from aseptic.data.phantoms.sketch import Painted, Plane, Sketch

CLASSES = ("nevus", "melanoma", "keratosis")
_WAVES = 7


def _outline(dice: Dice, labels: Tensor, size: int) -> tuple[Plane, Plane, Plane]:
    """Return how far inside the lesion each pixel lies (1 at the centre, 0 at the border), and its own x and y.

    The border is a circle with waves; a melanoma's are higher, and more of them are fast.
    """
    x, y = plane(size)
    cx, cy, radius, flat, angle = dice.within(
        "lesion", (-0.14, 0.14), (-0.14, 0.14), (0.40, 0.62), (0.72, 1.0), (0.0, math.pi)
    )
    dx, dy = x - cx, y - cy
    u, v = angle.cos() * dx + angle.sin() * dy, (angle.cos() * dy - angle.sin() * dx) / flat
    away = (u.square() + v.square() + 1e-9).sqrt()
    phases = dice.uniform("lesion/waves", _WAVES, 2)
    order = torch.arange(2, _WAVES + 2)
    uneven = torch.tensor([0.045, 0.11, 0.055])[labels][:, None] * (0.6 + 0.7 * dice.uniform("lesion/uneven", 1))
    height = uneven * (0.4 + phases[..., 0]) * (2.0 / order).pow(0.7)
    edge = torch.ones_like(away)
    for k, (c, s) in enumerate(waves(u, v, _WAVES + 1)[1:]):
        phase = 2 * math.pi * phases[:, k, 1, None, None]
        edge = edge + height[:, k, None, None] * (c * phase.cos() - s * phase.sin())
    frayed = 0.03 * dice.field("lesion/fray", size, 7, 14, 28)
    return edge + frayed - away / radius, u / radius, v / radius


def _skin(dice: Dice, size: int) -> Tensor:
    """Return bare skin, ``[3, batch, size, size]``: its tone, its furrows, its vessels' blush."""
    tone, red = dice.within("skin", (0.0, 1.0), (0.0, 1.0), patient=True)
    base = torch.stack([0.93 - 0.18 * tone, 0.76 - 0.22 * tone - 0.06 * red, 0.68 - 0.24 * tone - 0.03 * red])
    grain = dice.field("skin/grain", size, 6, 24, 48, decay=0.8, patient=True)
    furrow = bump(dice.field("skin/furrows", size, 20, 40, patient=True), 0.22)
    blush = dice.field("skin/blush", size, 3, 6, patient=True)
    tint = torch.tensor([0.25, 1.0, 0.8])[:, None, None, None]
    return base * (1 + 0.02 * grain - 0.035 * furrow) - 0.02 * tint * blush


def _network(dice: Dice, inside: Plane, size: int) -> Plane:
    """Return the pigment network: a net of brown lines around paler holes, fading to the border."""
    first, second = dice.field("network/a", size, 40), dice.field("network/b", size, 40)
    lines = torch.maximum(bump(first, 0.42), bump(second, 0.42))
    return lines * ramp(inside, 0.25) * ramp(0.75 - inside, 0.8)


def _dots(dice: Dice, key: str, most: int, sizes: tuple[float, float], inside: Plane) -> Plane:
    """Return small round structures scattered over the lesion."""
    u = dice.uniform(key, most, 4)
    away, angle = 0.55 * u[..., 0].sqrt(), 2 * math.pi * u[..., 1]
    radius = sizes[0] + (sizes[1] - sizes[0]) * u[..., 2]
    level = (u[..., 3] < 0.25 + 0.75 * dice.uniform(key + "/share", 1)).float()
    discs = Discs(x=away * angle.cos(), y=away * angle.sin(), radius=radius, level=level)
    return discs.draw(inside.shape[-1], soft=0.7) * ramp(inside - 0.08, 0.1)


def _pigment(dice: Dice, labels: Tensor, inside: Plane, shape: tuple[Plane, Plane], skin: Tensor) -> Tensor:
    """Lay the lesion's colours over the skin."""
    size = inside.shape[-1]
    nevus, melanoma, keratosis = ((labels == k).float()[:, None, None] for k in range(len(CLASSES)))
    dark, warm, lean, mixed = dice.within("pigment", (0.0, 1.0), (0.0, 1.0), (0.0, 2 * math.pi), (0.35, 1.0))
    cloud = dice.field("pigment/clouds", size, 4, 8, 16, decay=0.7)
    patch = dice.field("pigment/patches", size, 3, 6, 12, decay=0.6)
    slope = lean.cos() * shape[0] + lean.sin() * shape[1]
    brown = torch.stack([0.60 - 0.18 * dark + 0.05 * warm, 0.42 - 0.15 * dark, 0.30 - 0.12 * dark])
    tan = torch.stack([0.70 - 0.20 * dark, 0.51 - 0.18 * dark + 0.02 * warm, 0.38 - 0.15 * dark])
    base = brown * (1 - keratosis) + tan * keratosis
    uneven = 0.05 * (nevus + keratosis) + 0.13 * melanoma * mixed
    colour = base * (1 + uneven * cloud - 0.14 * nevus * ramp(inside - 0.35, 0.6))
    colour = mix(colour, 0.85 * melanoma * mixed * ramp(patch + 0.9 * slope - 0.5, 0.7), (0.13, 0.08, 0.07))
    colour = mix(colour, 0.65 * melanoma * mixed * ramp(cloud - patch - 1.0, 0.8), (0.40, 0.41, 0.46))
    colour = mix(colour, 0.55 * melanoma * mixed * ramp(-patch - 0.9 * slope - 0.9, 0.7), (0.80, 0.58, 0.52))
    net = _network(dice, inside, size) * (nevus + melanoma * mixed * ramp(cloud, 0.8))
    colour = colour * (1 - 0.30 * net)
    colour = colour * (1 - 0.45 * (nevus * 0.6 + melanoma) * _dots(dice, "globules", 26, (0.014, 0.032), inside))
    colour = mix(colour, 0.75 * keratosis * _dots(dice, "cysts", 16, (0.016, 0.034), inside), (0.92, 0.86, 0.72))
    colour = mix(colour, 0.75 * keratosis * _dots(dice, "openings", 14, (0.020, 0.042), inside), (0.22, 0.14, 0.10))
    fissures = bump(dice.field("fissures", size, 10), 0.10) * ramp(inside - 0.1, 0.2)
    colour = colour * (1 - 0.22 * keratosis * fissures)
    crisp = 0.26 * nevus + 0.16 * melanoma + 0.05 * keratosis
    return skin + (colour - skin) * 0.93 * ramp(inside, crisp)


def _hairs(dice: Dice, size: int) -> Plane:
    """Return hairs: about half of the skins have some."""
    most, steps = 12, 12
    u = dice.uniform("hairs", most, 5 + steps)
    lie = 2 * math.pi * dice.uniform("hairs/lie", 1)
    many = (dice.uniform("hairs/many", 1) * 1.6 - 0.6).clamp(min=0)
    start = 2.4 * u[..., :2] - 1.2
    radius = (0.004 + 0.005 * u[..., 2]) * (u[..., 3] < many)
    turn = (0.22 * (u[..., 4:5] - 0.5)) + 0.10 * (u[..., 5:] - 0.5)
    return grow(start, lie + 0.9 * (u[..., 2] - 0.5), radius, turn, torch.full_like(turn, 0.11)).draw(size)


def _ruler(dice: Dice, size: int) -> Plane:
    """Return the ticks of a ruler along one edge; one image in six has one."""
    x, y = plane(size)
    shown, place, pitch = dice.within("ruler", (0.0, 6.0), (0.80, 0.90), (0.09, 0.13))
    tick = ((x / pitch).remainder(1) - 0.5).abs() * pitch
    tall = 0.06 + 0.05 * (((x / pitch).floor() % 5) == 0)
    return ramp(0.007 - tick, 2 / size) * ((y > place) & (y < place + tall)) * (shown < 1)


def _paint(dice: Dice, labels: Tensor, size: int) -> Painted:
    x, y = plane(size)
    inside, u, v = _outline(dice, labels, size)
    colour = _pigment(dice, labels, inside, (u, v), _skin(dice, size))
    colour = mix(colour, 0.85 * _hairs(dice, size), (0.16, 0.11, 0.09))
    colour = mix(colour, 0.8 * _ruler(dice, size), (0.10, 0.10, 0.12))
    level, warm, corner, rim, tube, grain = dice.within(
        "camera", (0.82, 1.10), (-0.05, 0.05), (0.04, 0.16), (1.02, 1.30), (0.0, 1.0), (0.006, 0.016)
    )
    away = (x.square() + y.square() + 1e-9).sqrt()
    light = level * (1 - corner * away.square()) * (1 - (tube < 0.4) * 0.97 * ramp(away - rim, 0.05))  # noqa: PLR2004
    return Painted(images=developed(dice, colour, light, warm, grain), masks=(inside > 0)[:, None])


DERM = Sketch(
    name="derm",
    summary="dermoscopy of pigmented lesions",
    task="multiclass",
    classes=CLASSES,
    parts=("lesion",),
    choose=lambda dice: dice.shuffled(len(CLASSES)),
    paint=_paint,
)
