"""Slices of abdominal CT: kidneys and their tumours, for segmentation."""

import math

import torch
from torch import Tensor

from aseptic.data.phantoms.canvas import Discs, blurred, bump, ellipse, plane, ramp, turned, waves
from aseptic.data.phantoms.dice import Dice
from aseptic.data.phantoms.sketch import Painted, Plane, Sketch

CLASSES = ("background", "kidney", "tumour")
_LOW, _HIGH = -160.0, 240.0
"""Window of the picture, HU."""


def _lay(image: Plane, cover: Plane, level: Tensor | float) -> Plane:
    """Lay tissue of ``level`` HU over the image."""
    return torch.lerp(image, torch.as_tensor(level), cover)


def _wobble(dice: Dice, key: str, size: int, height: float) -> Plane:
    return height * dice.field(key, size, 5, 10)


def _trunk(dice: Dice, x: Tensor, y: Tensor, size: int) -> tuple[Plane, Plane]:
    """Return air, skin, fat and muscle of the wall, and how far inside the abdominal cavity each pixel lies."""
    wide, high, fat, lean = dice.within("body", (0.84, 0.93), (0.66, 0.75), (0.04, 0.13), (0.05, 0.08), patient=True)
    outline = ellipse(x, (y - 0.05) * (1 + 0.08 * y), wide, high) - 0.07 * bump(x, 0.16) * ramp(y - 0.3, 0.3)
    outline = outline + _wobble(dice, "body/outline", size, 0.006)
    muscle_edge = outline - fat * (0.55 + 0.45 * (x / 0.8).square() + 0.5 * ramp(y - 0.2, 0.6))
    image = _lay(torch.full_like(outline, -1000.0), ramp(outline, 0.015), -95.0)
    image = _lay(image, bump(outline - 0.012, 0.010) * 0.8, 20.0)
    image = _lay(image, ramp(muscle_edge, 0.015), 52.0)
    cavity = muscle_edge - lean
    return _lay(image, ramp(cavity, 0.02), -98.0), cavity


def _spine(dice: Dice, image: Plane, x: Tensor, y: Tensor) -> Plane:
    """Lay the muscles of the back, the psoas, the vertebra and its canal."""
    size, bone, psoas = dice.within("spine", (0.125, 0.15), (190.0, 320.0), (0.07, 0.11), patient=True)
    side, low = x.abs(), y - 0.28
    back = torch.maximum(ellipse(side - 0.20, low - 0.21, 0.17, 0.11), ellipse(side - 0.46, low - 0.12, 0.15, 0.07))
    image = _lay(image, ramp(back, 0.02), 56.0)
    image = _lay(image, ramp(ellipse(side - 0.20, low + 0.01, psoas, psoas * 1.15), 0.02), 58.0)
    body = ellipse(x, low + 0.03, size, size * 0.82)
    image = _lay(image, ramp(body, 0.015), bone * 0.75)
    image = _lay(image, bump(body - 0.012, 0.012) * 0.9, bone * 2.2)
    arch = ellipse(x, low - 0.155, 0.115, 0.065)
    image = _lay(image, ramp(arch, 0.015), bone * 1.7)
    process = ramp(0.022 - side, 0.015) * ramp(0.065 - (low - 0.25).abs(), 0.03)
    wings = ramp(0.022 - (low - 0.115 - 0.15 * side).abs(), 0.015) * ramp(0.27 - side, 0.03)
    image = _lay(image, torch.maximum(process, wings * ramp(side - 0.07, 0.02)), bone * 1.6)
    return _lay(image, ramp(ellipse(x, low - 0.145, 0.058, 0.045), 0.012), 35.0)


def _organs(dice: Dice, image: Plane, cavity: Plane, xy: tuple[Tensor, Tensor], size: int) -> Plane:
    """Lay liver, spleen, stomach, bowel, aorta and vena cava."""
    x, y = xy
    reach, blood, spleen_size, contrast, high = dice.within(
        "organs", (0.02, 0.16), (150.0, 210.0), (0.14, 0.20), (85.0, 125.0), (-0.05, 0.06), patient=True
    )
    near = ramp(cavity - 0.012, 0.02)
    liver = 0.52 + reach - ((x + 0.80).square() * 1.1 + (y + 0.18 - high).square() * 1.7 + 1e-9).sqrt()
    liver = ramp(liver + _wobble(dice, "liver", size, 0.012), 0.02) * near
    image = _lay(image, liver, contrast + 6 * dice.field("liver/grain", size, 10, 20, 40))
    hepatic = bump(dice.field("liver/vessels", size, 8, patient=True), 0.09) * liver
    image = _lay(image, 0.45 * hepatic, contrast + 60)
    sx, sy = turned(x - 0.66, y - 0.02, torch.full((1, 1, 1), -0.35))
    image = _lay(image, ramp(ellipse(sx, sy, spleen_size * 0.62, spleen_size * 1.5), 0.02) * near, contrast + 12)
    image = _bowel(dice, image, cavity, size)
    image = _lay(image, ramp(ellipse(x - 0.045, y - 0.075, 0.052, 0.052), 0.012), blood + 20)
    return _lay(image, ramp(ellipse(x + 0.095, y - 0.085, 0.070, 0.048), 0.012), blood - 30)


def _bowel(dice: Dice, image: Plane, cavity: Plane, size: int) -> Plane:
    """Lay loops of bowel in front: walls, fluid, contrast medium, gas that rises."""
    most = 18
    u = dice.uniform("bowel", most, 6, patient=True)
    x, y = -0.22 + 0.90 * u[..., 0], -0.48 + 0.48 * u[..., 1]
    radius = 0.06 + 0.06 * u[..., 2]
    shape = {"aspect": 0.6 + 0.5 * u[..., 3], "angle": 3.0 * u[..., 4]}
    near = ramp(cavity - 0.015, 0.03)
    full = torch.ones_like(x)
    image = _lay(image, Discs(x=x, y=y, radius=radius, level=full, **shape).draw(size, soft=0.15) * near, 70.0)
    fill = Discs(x=x, y=y, radius=radius * 0.74, level=full, **shape).draw(size, soft=0.15) * near
    image = _lay(image, fill, 22.0 + 14 * dice.field("bowel/content", size, 16, 32))
    bright = (u[..., 5] > 0.88).float()  # noqa: PLR2004 - one loop in eight holds contrast medium
    image = _lay(image, Discs(x=x, y=y, radius=radius * 0.7, level=bright, **shape).draw(size, soft=0.2) * near, 260.0)
    gas = (u[..., 5] < 0.2).float()  # noqa: PLR2004 - one in five holds gas
    top = Discs(x=x, y=y - 0.3 * radius, radius=radius * 0.5, level=gas, aspect=0 * x + 0.7)
    return _lay(image, top.draw(size, soft=0.3) * near, -820.0)


def _kidneys(dice: Dice, image: Plane, xy: tuple[Tensor, Tensor], size: int) -> tuple[Plane, Plane, Tensor]:
    """Lay both kidneys: cortex, pyramids, sinus. Returns the image, their cover, and places for a tumour."""
    draws = dice.uniform("kidneys", 2, 6, patient=True)
    slice_at = dice.uniform("kidneys/slice", 2)
    phase, cortex = dice.within("kidneys/phase", (0.0, 1.0), (150.0, 205.0), patient=True)
    total, places = torch.zeros_like(image), []
    for k, sign in enumerate((-1.0, 1.0)):
        u = draws[:, k, :, None, None]
        cx, cy = sign * (0.39 + 0.06 * u[:, 0]), 0.16 + 0.05 * u[:, 1]
        scale = 0.85 + 0.3 * slice_at[:, k, None, None]
        wide, high = (0.125 + 0.025 * u[:, 2]) * scale, (0.165 + 0.03 * u[:, 3]) * scale
        angle = sign * (0.15 + 0.45 * u[:, 4])
        dx, dy = turned(xy[0] - cx, xy[1] - cy, angle)
        inward = -sign * dx
        notch = ellipse(inward - wide * 1.0, dy, wide * (0.45 + 0.2 * u[:, 5]), high * 0.42)
        inside = torch.minimum(ellipse(dx, dy, wide, high), -notch) + _wobble(dice, f"kidneys/{k}", size, 0.006)
        cover = ramp(inside, 0.015)
        rays = _thrice(_thrice(waves(dx - 0.2 * sign * wide, dy, 1)[0][0]))
        pyramid = ramp(inside - 0.030, 0.02) * ramp(rays + 0.2, 0.5)
        sinus = ramp(ellipse(inward - wide * 0.42, dy, wide * 0.50, high * 0.40), 0.02)
        image = _lay(image, bump(inside + 0.05, 0.012) * 0.25, 20.0)
        image = _lay(image, cover, cortex)
        image = _lay(image, cover * pyramid * (1 - phase), cortex - 75)
        image = _lay(image, cover * sinus, -70.0)
        image = _lay(image, cover * sinus * bump(dy, high * 0.12) * 0.9, cortex - 20)
        total = torch.maximum(total, cover)
        places.append(torch.cat([cx, cy, wide, high, angle], 1)[..., 0])
    return image, total, torch.stack(places, 1)


def _thrice(cosine: Tensor) -> Tensor:
    """Return the cosine of three times the angle."""
    return cosine * (4 * cosine.square() - 3)


def _tumour(dice: Dice, places: Tensor, xy: tuple[Tensor, Tensor], size: int) -> tuple[Plane, Plane]:
    """Return the cover of a mass on the outer border of one kidney, and its HU."""
    which, out, grown, solid, rotten = dice.within(
        "tumour", (0.0, 2.0), (-1.2, 1.2), (0.055, 0.17), (55.0, 125.0), (0.0, 1.0)
    )
    chosen = places[torch.arange(len(places)), which[:, 0, 0].long()][:, :, None, None]
    cx, cy, wide, high, angle = chosen.unbind(1)
    sign = cx.sign()
    px, py = sign * wide * out.cos() * 1.02, high * out.sin() * 1.02
    c, s = angle.cos(), angle.sin()
    dx, dy = xy[0] - cx - (c * px - s * py), xy[1] - cy - (s * px + c * py)
    inside = grown - (dx.square() + (dy * 1.08).square() + 1e-9).sqrt() + _wobble(dice, "tumour/edge", size, 0.010)
    texture = dice.field("tumour/texture", size, 8, 16, 32)
    dead = rotten * ramp(inside - 0.35 * grown, 0.8 * grown)
    return ramp(inside, 0.015), solid - 45 * dead + 16 * texture


def _ribs(dice: Dice, image: Plane, cavity: Plane, size: int) -> Plane:
    """Lay the ribs where the slice cuts them: slanted ovals in the wall."""
    u = dice.uniform("ribs", 10, 2, patient=True)
    side = torch.tensor([-1.0, 1.0] * 5)
    theta = torch.tensor([-0.55, -0.55, -0.12, -0.12, 0.28, 0.28, 0.62, 0.62, 0.92, 0.92]) + 0.18 * (u[..., 0] - 0.5)
    x, y = side * 0.745 * theta.cos(), 0.05 + 0.56 * theta.sin()
    angle = side * (theta * 1.1) + math.pi / 2 + 0.0 * x
    cut = Discs(x=x, y=y, radius=0.030 + 0.028 * u[..., 1], level=torch.ones_like(x), aspect=0 * x + 0.42, angle=angle)
    return _lay(image, cut.draw(size, soft=0.2) * ramp(0.10 - cavity.abs(), 0.05) * ramp(0.02 - cavity, 0.02), 420.0)


def _paint(dice: Dice, labels: Tensor, size: int) -> Painted:
    x, y = plane(size)
    angle, zoom, right, down = dice.within("pose", (-0.05, 0.05), (0.93, 1.02), (-0.03, 0.03), (-0.03, 0.03))
    xy = turned((x - right) * zoom, (y - down - 0.02) * zoom, angle)
    image, cavity = _trunk(dice, *xy, size)
    image = _ribs(dice, image, cavity, size)
    image = _organs(dice, image, cavity, xy, size)
    image = _spine(dice, image, *xy)
    image, kidney, places = _kidneys(dice, image, xy, size)
    mass, level = _tumour(dice, places, xy, size)
    mass = mass * (labels > 0)[:, None, None] * ramp(cavity + 0.03, 0.04)
    image = _lay(image, mass, level)
    table = ramp(0.008 - (xy[1] - 0.80 - 0.10 * (1 - xy[0].square())).abs(), 0.01)
    image = _lay(image, table, -350.0)
    sharp, grain, offset = dice.within("scanner", (0.0, 1.0), (8.0, 22.0), (-8.0, 8.0))
    noise = dice.normal("noise", size, size)
    noise = 0.35 * noise + 2.2 * blurred(noise, 3.2 / size)
    image = blurred(image, 0.006) + noise * grain * (1.3 - 0.5 * (xy[0].square() + xy[1].square())) + offset * sharp
    film = ((image - _LOW) / (_HIGH - _LOW)).clamp(0, 1)
    tumour = mass > 0.5  # noqa: PLR2004 - more than half of the pixel
    return Painted(images=film[:, None], masks=torch.stack([(kidney > 0.5) & ~tumour, tumour], 1))  # noqa: PLR2004


KIDNEY = Sketch(
    name="kidney",
    summary="abdominal CT with kidney and tumour masks",
    task="segmentation",
    classes=CLASSES,
    parts=CLASSES[1:],
    choose=lambda dice: (dice.uniform("present", 1)[:, 0] < 0.7).long(),  # noqa: PLR2004 - seven slices in ten
    paint=_paint,
)
