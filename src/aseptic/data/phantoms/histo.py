"""Tiles of stained tissue (haematoxylin and eosin): benign glands, adenocarcinoma, squamous carcinoma."""

import math

import torch
from torch import Tensor

from aseptic.data.phantoms.canvas import Discs, bump, plane, ramp, turned
from aseptic.data.phantoms.dice import Dice
from aseptic.data.phantoms.sketch import VISIBLE, Painted, Plane, Sketch

CLASSES = ("benign", "adenocarcinoma", "squamous")
_HAEMATOXYLIN = (0.65, 0.70, 0.29)
_EOSIN = (0.12, 0.85, 0.35)
_GLANDS, _LINING, _LOOSE = 6, 30, 150


def _layout(dice: Dice, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return x, y, radius and waviness of the glands or nests, each ``[batch, gland]``."""
    u = dice.uniform("glands", _GLANDS, 4)
    cell_x = torch.tensor([-0.62, 0.05, 0.70, -0.60, 0.10, 0.72])
    cell_y = torch.tensor([-0.48, -0.58, -0.40, 0.50, 0.42, 0.60])
    angle = 2 * math.pi * dice.uniform("glands/turn", 1)
    x, y = turned(cell_x + 0.36 * (u[..., 0] - 0.5), cell_y + 0.36 * (u[..., 1] - 0.5), angle)
    small = torch.tensor([0.24, 0.24, 0.30])[labels][:, None]
    radius = small + 0.16 * u[..., 2]
    uneven = torch.tensor([0.05, 0.20, 0.14])[labels][:, None] * (0.5 + u[..., 3])
    return x, y, radius, uneven


def _radial(dice: Dice, theta: Tensor, uneven: Tensor) -> Tensor:
    """Return the relative radius of each gland at angles ``[batch, gland, ...]``."""
    phases = 2 * math.pi * dice.uniform("glands/waves", _GLANDS, 3)
    extra = (1,) * (theta.ndim - 2)
    total = torch.ones_like(theta)
    for k in range(3):
        phase = phases[..., k].reshape(*phases.shape[:2], *extra)
        total = total + uneven.reshape(*uneven.shape, *extra) * torch.cos((k + 2) * theta + phase) / (0.7 + 0.4 * k)
    return total


def _inside(dice: Dice, layout: tuple[Tensor, Tensor, Tensor, Tensor], size: int) -> tuple[Plane, Plane]:
    """Return, for the nearest gland, the distance inside its border and the distance as a fraction of its radius."""
    x, y = plane(size)
    phases = 2 * math.pi * dice.uniform("glands/waves", _GLANDS, 3)
    depth, share = torch.full((1, 1, 1), -torch.inf), torch.ones(1, 1, 1)
    for gland in range(_GLANDS):
        gx, gy, radius, uneven = (part[:, gland, None, None] for part in layout)
        dx, dy = x - gx, y - gy
        away = (dx.square() + dy.square()).add_(1e-9).sqrt_()
        c, s = dx / away, dy / away
        height = uneven * radius / (0.7 + 0.4 * torch.arange(3))[:, None, None, None]
        phase = phases[:, gland].T[:, :, None, None]
        (a2, a3, a4), (b2, b3, b4) = height * phase.cos(), height * phase.sin()
        # Waves of two, three and four times the angle: polynomials of its cosine, some times its sine.
        odd = (-8 * b4 * c).sub_(4 * b3).mul_(c).add_(4 * b4 - 2 * b2).mul_(c).add_(b3)
        edge = (8 * a4 * c).add_(4 * a3).mul_(c).add_(2 * a2 - 8 * a4).mul_(c).sub_(3 * a3).mul_(c)
        edge = edge.add_(a4 - a2 + radius).add_(odd.mul_(s))
        found = edge - away
        share = torch.where(found > depth, away.div_(edge), share)
        depth = torch.maximum(found, depth)
    return depth, share


def _nuclei(dice: Dice, labels: Tensor, layout: tuple[Tensor, Tensor, Tensor, Tensor]) -> Discs:
    """Return the nuclei: those that line glands, those within nests, and those of the stroma."""
    gx, gy, radius, uneven = layout
    u, loose = dice.uniform("lining", _GLANDS, _LINING, 6), dice.uniform("loose", _LOOSE, 6)
    benign, adeno, squamous = ((labels == k).float()[:, None, None] for k in range(len(CLASSES)))
    theta = 2 * math.pi * (torch.arange(_LINING) + (0.35 + 0.6 * (adeno + squamous)) * (u[..., 0] - 0.5)) / _LINING
    # Benign: one row near the border. Adenocarcinoma: piled up. Squamous: all through the nest.
    row = benign * (0.90 + 0.05 * (u[..., 1] - 0.5)) + adeno * (0.93 - 0.38 * u[..., 1].square())
    row = (row + squamous * (0.15 + 0.85 * u[..., 1].sqrt())) * _radial(dice, theta, uneven)
    x = gx[..., None] + row * radius[..., None] * theta.cos()
    y = gy[..., None] + row * radius[..., None] * theta.sin()
    big = benign * 0.026 + adeno * 0.034 + squamous * 0.036
    spread = benign * 0.12 + adeno * 0.55 + squamous * 0.45
    size = big * (1 + spread * (u[..., 2] - 0.4))
    fewer = (u[..., 3] > 0.35 * squamous + 0.08).float()
    level = fewer * (0.75 + 0.25 * u[..., 4] + 0.25 * (adeno + squamous) * u[..., 4])
    tall = 1 + benign * 0.5 + 0.5 * u[..., 5]
    thin = 0.010 + 0.009 * loose[..., 2]
    bundle = 2 * math.pi * dice.uniform("fibres", 1)
    return Discs(
        x=torch.cat([x.flatten(1), 2.1 * loose[..., 0] - 1.05], 1),
        y=torch.cat([y.flatten(1), 2.1 * loose[..., 1] - 1.05], 1),
        radius=torch.cat([size.flatten(1), thin], 1),
        level=torch.cat([level.flatten(1), 0.6 + 0.4 * loose[..., 3]], 1),
        aspect=torch.cat([tall.flatten(1), 1.1 + 2.4 * loose[..., 4].square()], 1),
        angle=torch.cat([(theta + math.pi / 2 + 0.4 * (u[..., 5] - 0.5)).flatten(1), bundle + 0.9 * loose[..., 5]], 1),
    )


def _stroma(dice: Dice, size: int) -> Plane:
    """Return collagen: wavy bundles along one direction, with clefts."""
    x, y = plane(size)
    lie = 2 * math.pi * dice.uniform("fibres", 1)[..., None]
    bend = dice.field("fibres/bend", size, 3, 6, 12)
    strands = torch.sin(26 * (x * lie.cos() + y * lie.sin()) + 4.5 * bend)
    coarse = dice.field("fibres/coarse", size, 6, 12, 24, 48, decay=0.8)
    return (0.42 + 0.10 * strands + 0.13 * coarse).clamp(min=0.08) * (
        1 - 0.6 * ramp(bump(coarse + 1.2, 0.4) - 0.3, 0.5)
    )


def _cytoplasm(dice: Dice, labels: Tensor, depth: Plane, share: Plane, size: int) -> tuple[Plane, Plane]:
    """Return the eosin of the glands or nests, and what is empty (their lumen)."""
    benign, adeno, squamous = ((labels == k).float()[:, None, None] for k in range(len(CLASSES)))
    holes = dice.field("glands/holes", size, 9, 18)
    cribriform = ramp(0.62 - share, 0.2) * ramp(holes - 0.25, 0.5)
    lumen = benign * ramp(0.56 - share, 0.12) + adeno * torch.maximum(
        ramp(0.34 - share + 0.1 * holes, 0.14), cribriform
    )
    lumen = lumen * ramp(depth, 0.02)
    grain = dice.field("cytoplasm", size, 12, 24, 48, decay=0.9)
    # Keratin pearls: whorls of pink in the middle of a nest.
    pearl = squamous * ramp(0.42 - share, 0.2)
    whorl = 0.5 + 0.5 * torch.sin(34 * share + 1.5 * holes)
    borders = squamous * bump(dice.field("borders", size, 24), 0.15) * 0.25
    pink = 0.38 * benign + 0.36 * adeno + 0.38 * squamous
    return (pink + 0.07 * grain + pearl * (0.30 + 0.35 * whorl) - borders).clamp(min=0.02) * (1 - lumen), lumen


def _paint(dice: Dice, labels: Tensor, size: int) -> Painted:
    layout = _layout(dice, labels)
    depth, share = _inside(dice, layout, size)
    tissue = ramp(depth, 0.03)
    pink, lumen = _cytoplasm(dice, labels, depth, share, size)
    nuclei = _nuclei(dice, labels, layout)
    # A nucleus is darkest at its membrane; stroma nuclei do not lie inside glands.
    drawn = nuclei.shaped(size, lambda d, r: ramp(r - d, 2 / size + 0.25 * r) * (0.74 + 0.26 * (d / r)), 1.2)
    drawn = drawn * (1 - lumen)
    chromatin = dice.field("chromatin", size, 32, 64, decay=1.2)
    eosin = _stroma(dice, size) * (1 - tissue) + pink * tissue
    thick, blue, red, fade, level, hue = dice.within(
        "stain", (0.85, 1.15), (0.60, 1.45), (0.60, 1.45), (0.0, 0.12), (0.93, 1.0), (-0.06, 0.06), patient=True
    )
    shade = dice.field("stain/shade", size, 2, 4)
    h = blue * thick * (1.35 * drawn * (1 + 0.14 * chromatin) + 0.10 * tissue * (1 - lumen)) * (1 + 0.05 * shade)
    e = red * thick * eosin * (1 - 0.55 * drawn.clamp(max=1)) * (1 + 0.05 * shade)
    turn = torch.stack([hue, -hue, 0 * hue])
    density = (torch.tensor(_HAEMATOXYLIN)[:, None, None, None] + turn) * h
    density = density + (torch.tensor(_EOSIN)[:, None, None, None] - 0.5 * turn) * e + fade
    noise = 0.012 * dice.normal("noise", 3, size, size).transpose(0, 1)
    image = (level * torch.exp(-density) + noise).clamp(0, 1).transpose(0, 1).contiguous()
    return Painted(images=image, masks=(drawn > VISIBLE)[:, None])


HISTO = Sketch(
    name="histo",
    summary="stained tissue (H&E)",
    task="multiclass",
    classes=CLASSES,
    parts=("nuclei",),
    choose=lambda dice: dice.shuffled(len(CLASSES)),
    paint=_paint,
)
