"""The anatomy of a chest radiograph: where lungs, heart, bones and vessels lie, and how much each attenuates."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.data.phantoms.canvas import Paths, branch, bump, ellipse, grow, plane, ramp, turned
from aseptic.data.phantoms.dice import Dice
from aseptic.data.phantoms.sketch import Plane


@dataclass(frozen=True, kw_only=True)
class Chest:
    """Planes ``[batch, size, size]`` of one patient's chest; the image's left is the patient's right."""

    x: Plane
    """Across, 0 at the spine, in the patient's frame."""
    y: Plane
    """Down."""
    side: Plane
    """Distance from the midline."""
    lung: Plane
    """Lung seen free of heart and diaphragm, 0 to 1."""
    depth: Plane
    """Distance inward from the lateral and apical wall of the lung."""
    base: Plane
    """Distance upward from the dome of the diaphragm."""
    heart: Plane
    """Heart, 0 to 1."""
    body: Plane
    """Body, 0 to 1."""


def pose(dice: Dice, size: int) -> tuple[Tensor, Tensor]:
    """Return the pixels' coordinates in the patient's frame: rotated, scaled and shifted."""
    x, y = plane(size)
    angle, zoom, right, down = dice.within("pose", (-0.06, 0.06), (0.86, 0.98), (-0.05, 0.05), (-0.05, 0.05))
    return turned((x - right) * zoom, (y - down) * zoom, angle)


def anatomy(dice: Dice, size: int, enlarged: Tensor) -> Chest:
    """Return the chest; the heart is scaled by ``enlarged [batch, 1, 1]``."""
    x, y = pose(dice, size)
    side, left = x.abs(), ramp(x, 0.02)
    wide, tall, apex, dome, tilt = dice.within(
        "thorax", (0.72, 0.82), (1.42, 1.58), (-0.86, -0.79), (0.10, 0.18), (0.03, 0.10), patient=True
    )
    t = ((y - apex) / tall).clamp(1e-4, 1.15)
    wall = 0.27 + (wide - 0.27) * (1 - (1 - t).clamp(min=0).pow(2.6)).sqrt() - 0.06 * (t - 0.75).clamp(min=0)
    medial = 0.12 + 0.16 * (1 - t).clamp(0, 1).pow(7) + 0.055 * bump(y - 0.28, 0.3) * (1 - left)
    top = (y - apex) + 0.06 - 0.9 * (side - 0.31).square()
    # The right dome stands higher; both fall off steeply to the costophrenic angle.
    floor = apex + tall * 0.93 - dome + tilt * (2 * left - 1) * 0.5
    floor = floor + 0.62 * (side - 0.28).square() * (1 + 1.4 * ramp(side - 0.5, 0.5))
    base = floor - y
    depth = torch.minimum(wall - side, top * 1.3)
    big, lean, low = dice.within("heart", (0.93, 1.07), (0.45, 0.75), (0.0, 0.06), patient=True)
    scale = big * enlarged
    hx, hy = turned(x - 0.125 - 0.10 * (scale - 1), y - 0.30 - low, lean)
    heart = ramp(ellipse(hx, hy, 0.34 * scale, 0.23 * scale), 0.035) * ramp(base + 0.04, 0.12)
    knob = ramp(0.095 - ((x - 0.105).square() + (y + 0.30).square()).sqrt(), 0.03)
    trunk = ramp(0.17 - ((x - 0.10).square() + ((y + 0.09) * 0.8).square()).sqrt(), 0.05)
    inside = torch.minimum(torch.minimum(depth, side - medial), base)
    lung = ramp(inside, 0.03) * (1 - heart) * (1 - knob) * (1 - trunk)
    shoulder = -1.04 + 0.46 * ramp(side - 0.60, 0.9) + 0.10 * (side - 0.2)
    flank = wall + 0.14 + 0.25 * ramp(-0.15 - y, 0.6)
    body = ramp(torch.minimum(y - shoulder, flank - side) + 0.02, 0.05)
    return Chest(x=x, y=y, side=side, lung=lung, depth=depth, base=base, heart=heart, body=body)


def ribs(dice: Dice, chest: Chest) -> Plane:
    """Return the attenuation of the ribs: posterior arches, and wider, fainter anterior ends."""
    gap, start, bow, front = dice.within("ribs", (0.165, 0.19), (0.0, 1.0), (0.50, 0.75), (0.0, 1.0), patient=True)
    s, y = chest.side, chest.y
    arch = bow * (s - 0.22).square() * (1.25 - 0.7 * y) - 0.06 * s
    back = ((y - arch) / gap + start).remainder(1) - 0.5
    ends = ((y - (0.78 - s) * 0.75 + 0.35 * (s - 0.4).square()) / (gap * 1.15) + front).remainder(1) - 0.5
    cage = ramp(chest.depth + 0.035, 0.04) * (0.35 + 0.65 * chest.lung) * ramp(chest.base + 0.25, 0.5)
    return cage * (ramp(s - 0.09, 0.06) * _bone(back, 0.23) + 0.62 * ramp(s - 0.38, 0.12) * _bone(ends, 0.27))


def _bone(phase: Tensor, half: float) -> Tensor:
    """A band with bright cortex at both edges."""
    across = phase.abs()
    return ramp(half - across, 0.12) * (0.62 + 0.38 * bump(across - half + 0.06, 0.05))


def skeleton(dice: Dice, chest: Chest) -> Plane:
    """Return the attenuation of clavicles, scapulae and spine."""
    x, y, s = chest.x, chest.y, chest.side
    rise, sag, level, disc = dice.within(
        "clavicles", (0.12, 0.34), (0.03, 0.07), (-0.60, -0.52), (0.125, 0.15), patient=True
    )
    curve = level - rise * (s - 0.08) + sag * torch.sin(5.5 * (s - 0.08))
    off = (y - curve).abs() - 0.012 * bump(s - 0.1, 0.15)
    shaft = ramp(0.040 - off, 0.02) * (0.65 + 0.35 * bump(off - 0.026, 0.012))
    clavicle = shaft * ramp(s - 0.07, 0.03) * ramp(0.70 - s, 0.06)
    edge = 0.80 + 0.1 * (y + 0.3) - 0.35 * (y + 0.3).square()
    scapula = ramp(s - edge, 0.03) * ramp(0.25 - (y + 0.32).abs(), 0.25) * (0.4 + 0.6 * bump(s - edge - 0.02, 0.02))
    joints = (y / disc).remainder(1) - 0.5
    column = ramp(0.085 - x.abs(), 0.03)
    spine = column * (0.55 + 0.35 * ramp(0.36 - joints.abs(), 0.12)) + 0.3 * bump(x.abs() - 0.085, 0.015)
    return 0.75 * clavicle + 0.30 * scapula + 0.42 * spine


def airway(chest: Chest) -> Plane:
    """Return how much the trachea and the main bronchi lighten the mediastinum."""
    x, y = chest.x, chest.y
    below = y + 0.22
    fork = below.clamp(min=0)
    width = 0.042 - 0.05 * fork.clamp(max=0.3)
    centre = torch.where(below < 0, (x - 0.015).abs(), (x.abs() - fork * 0.9).abs())
    return ramp(width - centre, 0.03) * ramp(0.02 - y, 0.12) * ramp(y + 1.1, 0.2)


def vessels(dice: Dice, size: int) -> Plane:
    """Return the pulmonary vessels, grown from both hila; they follow the breath, not the pose."""
    trunks, children, steps = 10, 3, 8
    draws = dice.uniform("vessels", trunks, 3 + 2 * steps, patient=True)
    batch = len(dice)
    fan = torch.linspace(-1.05, 1.25, trunks // 2)
    out = torch.cat([fan, torch.pi - fan]) + 0.35 * (draws[..., 0] - 0.5)
    sign = torch.cat([torch.ones(trunks // 2), -torch.ones(trunks // 2)])
    start = torch.stack([(0.17 * sign).expand(batch, -1), 0.02 + 0.10 * (draws[..., 1] - 0.5)], -1)
    stride = (0.045 + 0.025 * draws[..., 2:3]).expand(-1, -1, steps)
    turn = 0.5 * (draws[..., 3 : 3 + steps] - 0.5)
    stems = grow(start, out, 0.022 + 0.010 * draws[..., 2], turn, stride, taper=0.2)
    twigs = dice.uniform("twigs", trunks, children, 2 + 6, patient=True)
    where = (torch.arange(1, 2 * children, 2) + (twigs[..., 0] * 2).long()).clamp(max=steps)
    angle = (0.4 + 0.5 * twigs[..., 1]) * torch.tensor([1.0, -1.0, 1.0])
    turn = 0.5 * (twigs[..., 2:] - 0.5).flatten(1, 2)
    small = branch(stems, where, angle, turn, torch.full_like(turn, 0.055))
    return torch.maximum(_faded(stems, size), 0.8 * _faded(small, size))


def _faded(paths: Paths, size: int) -> Plane:
    level = paths.radius[:, :, 0] / 0.028
    return paths.draw(size, (0.35 + 0.65 * level).clamp(max=1))
