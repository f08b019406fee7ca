"""Colour fundus photographs: normal, diabetic retinopathy, glaucoma."""

import math

import torch
from torch import Tensor

from aseptic.data.phantoms.canvas import Discs, Paths, branch, bump, ellipse, grow, plane, ramp
from aseptic.data.phantoms.dice import Dice
from aseptic.data.phantoms.film import developed, mix
from aseptic.data.phantoms.sketch import VISIBLE, Painted, Plane, Sketch

CLASSES = ("normal", "diabetic_retinopathy", "glaucoma")
PARTS = ("disc", "cup", "microaneurysms", "haemorrhages", "exudates", "cotton_wool")
_STEPS = 14
_COARSE = 128
"""Largest size at which two steps of a vessel are drawn as one: together they are a few pixels long."""
_CLUSTERED = 0.6
"""Share of the places for exudates that hold some."""


def _tree(dice: Dice, nasal: Tensor, height: Tensor) -> tuple[Paths, ...]:
    """Return the arcades and two generations of branches; even paths are arteries, odd ones veins.

    ``nasal [batch]`` is the x of the disc; the temporal arcades bow around the macula at the middle.
    """
    draws = dice.uniform("arcades", 8, 2 + 2 * _STEPS, patient=True)
    outward = -nasal.sign()[:, None]
    up = torch.tensor([-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0])
    temporal = torch.tensor([1.0] * 4 + [0.0] * 4)
    artery = torch.tensor([1.0, 0.0] * 4)
    start = torch.stack(
        [nasal[:, None] + 0.02 * (draws[..., 0] - 0.5), height[:, None] + up * (0.01 + 0.02 * artery)], -1
    )
    steep = 1.25 - 0.22 * artery + 0.25 * (draws[..., 1] - 0.5)
    away = torch.where(temporal > 0, steep, math.pi - steep * 0.75)
    heading = torch.where(outward > 0, up * away, math.pi - up * away)
    # Temporal arcades bend towards the raphe; nasal ones run almost straight.
    bow = -up * outward * torch.where(temporal > 0, 0.135, -0.03)
    turn = bow[..., None] + 0.36 * (draws[..., 2 : 2 + _STEPS] - 0.5)
    stride = 0.105 + 0.0 * turn
    radius = (0.0135 + 0.006 * (1 - artery)) * torch.where(temporal > 0, 1.0, 0.75)
    stems = grow(start, heading, radius.expand_as(heading), turn, stride, taper=0.35)
    first = _offshoots(dice, "branches", stems, (5, 7), 0.075)
    second = _offshoots(dice, "twigs", first, (2, 5), 0.05)
    return stems, first, second


def _offshoots(dice: Dice, key: str, parent: Paths, counts: tuple[int, int], stride: float) -> Paths:
    children, steps = counts
    paths, last = parent.points.shape[1], parent.points.shape[2] - 1
    draws = dice.uniform(key, paths, children, 3 + steps, patient=True)
    spread = torch.linspace(0.2, 0.85, children)
    where = ((spread + 0.12 * (draws[..., 0] - 0.5)) * last).long()
    side = torch.tensor([1.0, -1.0] * children)[:children] * (2 * (torch.arange(paths) % 4 < 2) - 1)[:, None]  # noqa: PLR2004
    angle = side * (0.55 + 0.5 * draws[..., 1])
    turn = (0.4 * (draws[..., 3:] - 0.5) - 0.05 * side[..., None]).flatten(1, 2)
    length = (stride * (0.6 + 0.6 * draws[..., 2:3])).expand(-1, -1, -1, steps).flatten(1, 2)
    return branch(parent, where, angle, turn, length)


def _vessels(dice: Dice, nasal: Tensor, height: Tensor, size: int) -> tuple[Plane, Plane]:
    batch = len(dice)
    both = torch.zeros(2 * batch, size, size)
    for paths in _tree(dice, nasal, height):
        kind = torch.arange(8).repeat_interleave(paths.points.shape[1] // 8) % 2
        shown = paths.sparser(2) if size <= _COARSE else paths
        shown.onto(both, kind * batch + torch.arange(batch)[:, None])
    return both[:batch], both[batch:]


def _scatter(dice: Dice, key: str, most: int, radius: tuple[float, float]) -> Discs:
    """Discs anywhere on the retina, fewer in mild disease; their number and size differ between images."""
    u = dice.uniform(key, most, 6)
    grade = dice.uniform(key + "/grade", 1)
    away, angle = 0.82 * u[..., 0].sqrt(), 2 * math.pi * u[..., 1]
    return Discs(
        x=away * angle.cos(),
        y=away * angle.sin(),
        radius=radius[0] + (radius[1] - radius[0]) * u[..., 2].square(),
        level=(u[..., 3] < 0.15 + 0.85 * grade).float(),
        aspect=0.6 + 1.0 * u[..., 4],
        angle=math.pi * u[..., 5],
    )


def _exudates(dice: Dice, size: int) -> Plane:
    """Hard exudates: small bright deposits in clusters."""
    u, centres = dice.uniform("exudates", 6, 9, 3), dice.uniform("exudates/clusters", 6, 4)
    away, angle = 0.10 + 0.55 * centres[..., 0], 2 * math.pi * centres[..., 1]
    x = (away * angle.cos())[..., None] + 0.16 * (u[..., 0] - 0.5)
    y = (away * angle.sin())[..., None] + 0.16 * (u[..., 1] - 0.5)
    level = (centres[..., 2:3] < _CLUSTERED).float().expand_as(x)
    return Discs(
        x=x.flatten(1), y=y.flatten(1), radius=(0.006 + 0.016 * u[..., 2]).flatten(1), level=level.flatten(1)
    ).draw(size, soft=0.5)


def _lesions(dice: Dice, sick: Tensor, free: Plane) -> Tensor:
    """Return microaneurysms, haemorrhages, exudates and cotton wool, ``[4, batch, size, size]``.

    They are drawn at the places ``sick`` of the batch alone, where ``free`` of the disc.
    """
    size = free.shape[-1]
    planes = torch.zeros(4, len(dice), size, size)
    if len(sick):
        ill = dice.only(sick)
        wavy = 0.25 * ill.field("lesions/fray", size, 32)
        dots = _scatter(ill, "microaneurysms", 28, (0.008, 0.016)).draw(size, soft=0.4)
        blots = _scatter(ill, "haemorrhages", 12, (0.018, 0.060)).draw(size, soft=0.9)
        wool = _scatter(ill, "cotton_wool", 5, (0.035, 0.07)).draw(size, soft=1.6)
        frayed = ramp(blots + wavy * blots - 0.45, 0.5)
        planes[:, sick] = torch.stack([dots, frayed, _exudates(ill, size), wool]) * free[sick]
    return planes


def _retina(dice: Dice, nasal: Tensor, size: int) -> tuple[Plane, Tensor]:
    """Return the macula's darkness, and the colour of the bare retina, ``[3, batch, size, size]``."""
    x, y = plane(size)
    hue, pale, streak = dice.within("retina", (0.0, 1.0), (0.85, 1.1), (0.02, 0.05), patient=True)
    choroid = dice.field("choroid", size, 3, 6, 12, 24, 48, decay=0.7, patient=True)
    fovea_x = -0.10 * nasal.sign()[:, None, None]
    away = ((x - fovea_x).square() + (y - 0.03).square()).sqrt()
    macula = 0.6 * bump(away, 0.28) + 0.5 * bump(away, 0.11)
    base = torch.stack([0.80 - 0.12 * hue, 0.40 - 0.14 * hue, 0.19 - 0.07 * hue]) * pale
    shade = torch.tensor([0.7, 1.0, 1.1])[:, None, None, None] * (streak * choroid - 0.16 * macula)
    return macula, base * (1 + 1.1 * shade)


def _paint(dice: Dice, labels: Tensor, size: int) -> Painted:
    x, y = plane(size)
    eye, off, high, disc_size, healthy, wide = dice.within(
        "disc", (-1.0, 1.0), (0.50, 0.60), (-0.06, 0.06), (0.115, 0.145), (0.25, 0.50), (0.66, 0.86), patient=True
    )
    nasal = eye.sign() * off
    _, retina = _retina(dice, nasal[:, 0, 0], size)
    rim = ellipse(x - nasal, y - high, disc_size * 0.93, disc_size)
    ratio = torch.where((labels == CLASSES.index("glaucoma"))[:, None, None], wide, healthy)
    hollow = ellipse(x - nasal - 0.015 * eye.sign(), y - high, disc_size * ratio * 0.93, disc_size * ratio * 1.05)
    disc, cup = ramp(rim, 0.03), ramp(hollow, 0.035)
    arteries, veins = _vessels(dice, nasal[:, 0, 0], high[:, 0, 0], size)
    dots, blots, hard, wool = _lesions(
        dice, (labels == CLASSES.index("diabetic_retinopathy")).nonzero()[:, 0], 1 - disc
    )
    colour = mix(retina, 0.35 * bump(rim.clamp(max=0), 0.05), (0.92, 0.60, 0.32))
    colour = mix(colour, disc * 0.9, (0.96, 0.62, 0.33))
    colour = mix(colour, cup * 0.8, (1.0, 0.92, 0.72))
    thinned = 1 - 0.45 * cup
    colour = mix(colour, 0.68 * arteries * thinned, (0.60, 0.15, 0.09))
    colour = mix(colour, 0.80 * veins * thinned, (0.42, 0.09, 0.06))
    colour = mix(colour, 0.75 * dots, (0.42, 0.06, 0.04))
    colour = mix(colour, 0.85 * blots, (0.36, 0.05, 0.04))
    colour = mix(colour, 0.75 * wool, (0.95, 0.86, 0.66))
    colour = mix(colour, 0.92 * hard, (1.0, 0.90, 0.45))
    seen = torch.stack([disc, cup, dots, blots, hard, wool], 1) > VISIBLE
    image, aperture = _photographed(dice, colour, size)
    return Painted(images=image, masks=seen & (aperture > 0.5)[:, None])  # noqa: PLR2004 - inside


def _photographed(dice: Dice, colour: Tensor, size: int) -> tuple[Tensor, Plane]:
    """Return the photograph, ``[batch, 3, size, size]``, and the aperture: uneven light, exposure, noise, black rim."""
    x, y = plane(size)
    lean_x, lean_y, fall, level, warm, grain = dice.within(
        "camera", (-0.4, 0.4), (-0.4, 0.4), (0.25, 0.5), (0.72, 1.12), (-0.06, 0.06), (0.008, 0.02)
    )
    away = x.square() + y.square()
    light = level * (1 - fall * ((x - lean_x).square() + (y - lean_y).square()) * 0.6)
    aperture = ramp(0.97 - (away + 1e-9).sqrt(), 0.025) * ramp(
        0.99 - y.abs() * dice.within("crop", (1.0, 1.16))[0], 0.02
    )
    film = developed(dice, colour, light, warm, grain) * aperture[:, None] + 0.012 * (1 - aperture)[:, None]
    return film, aperture


FUNDUS = Sketch(
    name="fundus",
    summary="colour photographs of the retina",
    task="multiclass",
    classes=CLASSES,
    parts=PARTS,
    choose=lambda dice: dice.shuffled(len(CLASSES)),
    paint=_paint,
)
