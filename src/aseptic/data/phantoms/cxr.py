"""Chest radiographs: several findings (``cxr``), and normal / pneumonia / covid-like (``cxr3``)."""

import torch
from torch import Tensor

from aseptic.data.phantoms.canvas import blurred, bump, hazy, ramp
from aseptic.data.phantoms.chest import Chest, airway, anatomy, ribs, skeleton, vessels
from aseptic.data.phantoms.dice import Dice
from aseptic.data.phantoms.sketch import VISIBLE, Painted, Plane, Sketch

FINDINGS = ("cardiomegaly", "effusion", "nodule", "pneumothorax", "consolidation")
_PREVALENCE = torch.tensor([0.30, 0.25, 0.25, 0.20, 0.30])
OPACITIES = ("normal", "pneumonia", "covid-like")


def _radiograph(dice: Dice, chest: Chest, opacity: Plane, emptied: Plane, size: int) -> Plane:
    """Return the film: tissue adds up along the beam, then scatter, exposure, the film's curve and noise.

    ``opacity`` is added where it lies over lung; ``emptied`` is lung without vessels.
    """
    x, y, lung = chest.x, chest.y, chest.lung
    thick, marks, bones, haze = dice.within(
        "tissue", (0.50, 0.62), (0.12, 0.22), (0.15, 0.23), (0.8, 1.2), patient=True
    )
    belly = ramp(-chest.base, 0.10)
    air = lung * (0.56 + 0.06 * ramp(chest.depth - 0.1, 0.5)) * (1 - 0.12 * y)
    soft = thick + 0.10 * ramp(0.30 - chest.side, 0.3) + 0.10 * belly + 0.10 * chest.heart
    soft = soft + 0.05 * haze * dice.field("mottle", size, 4, 8, 16, patient=True)
    soft = soft + 0.06 * haze * bump(y - 0.28, 0.25) * bump(chest.side - 0.42, 0.28)
    hilum = bump(chest.side - 0.20, 0.07) * bump(y - 0.03, 0.14)
    vascular = marks * vessels(dice, size) * lung * (1 - emptied) + 0.10 * hilum * lung
    bubble = ramp(0.10 - ((x - 0.42).square() + (2.0 * (chest.base + 0.16)).square()).sqrt(), 0.05) * belly
    total = soft - air + vascular + opacity * lung - 0.16 * bubble - 0.10 * airway(chest)
    total = (
        total + bones * (1.1 * ribs(dice, chest) * (1 - 1.4 * opacity).clamp(min=0.2) + 1.2 * skeleton(dice, chest))
    ) * chest.body - 0.25 * (1 - chest.body)
    return _exposed(dice, blurred(total, 0.009), size)


def _exposed(dice: Dice, total: Plane, size: int) -> Plane:
    dose, level, contrast, fog, grain = dice.within(
        "exposure", (0.0, 1.0), (-0.10, 0.10), (3.6, 5.2), (0.12, 0.30), (0.008, 0.022)
    )
    film = (1 - fog) * total + fog * hazy(total, 6)
    noise = dice.normal("noise", size, size) * grain * (0.6 + 0.8 * dose) * (0.5 + film.clamp(0, 1.2))
    return torch.sigmoid(contrast * (film + noise - 0.40 + level)).clamp(0.03, 0.97)


def _spot(chest: Chest, x: Tensor, y: Tensor, wide: Tensor, high: Tensor) -> Plane:
    return 1 - (((chest.x - x) / wide).square() + ((chest.y - y) / high).square()).sqrt()


def _consolidation(dice: Dice, chest: Chest, key: str, size: int) -> Plane:
    """One patch in one lung, most often low, with a border that noise frays."""
    flip, x, y, wide, high = dice.within(key, (-1.0, 1.0), (0.30, 0.52), (-0.25, 0.42), (0.20, 0.34), (0.20, 0.36))
    frayed = _spot(chest, x * flip.sign(), y, wide, high) + 0.30 * dice.field(key + "/fray", size, 6, 12, 24)
    return ramp(frayed - 0.1, 0.7)


def _ground_glass(dice: Dice, chest: Chest, size: int) -> Plane:
    """Patches in both lungs, along the outer wall, more below than above."""
    reach, low, spread = dice.within("glass", (0.13, 0.22), (-0.05, 0.25), (0.45, 0.7))
    rim = bump((chest.depth - 0.06).clamp(min=0), reach) * bump(chest.y - low, spread)
    patches = dice.field("glass/patches", size, 5, 10, 20, decay=0.7)
    return rim * ramp(patches + 0.35, 1.1)


def _effusion(dice: Dice, chest: Chest) -> Plane:
    """Fluid in one costophrenic angle; its surface climbs towards the wall."""
    flip, height, climb = dice.within("effusion", (-1.0, 1.0), (0.05, 0.26), (0.18, 0.40))
    surface = chest.base - height - climb * ramp(0.22 - chest.depth, 0.44)
    return ramp(-surface, 0.07) * (chest.x * flip > 0) * ramp(chest.side - 0.22, 0.2)


def _nodules(dice: Dice, chest: Chest, size: int) -> Plane:
    places, second = dice.uniform("nodules", 2, 4), dice.uniform("nodules/second", 1).round()[..., None]
    total = torch.zeros(len(dice), size, size)
    for k in range(2):
        u = places[:, k, :, None, None]
        sign = (u[:, 3] - 0.5).sign()
        radius = (0.05 + 0.045 * u[:, 2]) * (second if k else 1)
        away = ((chest.x - sign * (0.27 + 0.26 * u[:, 0])).square() + (chest.y + 0.45 - 0.8 * u[:, 1]).square()).sqrt()
        total = torch.maximum(total, ramp(radius - away, 0.035) * (radius > 0))
    return total


def _pneumothorax(dice: Dice, chest: Chest) -> tuple[Plane, Plane]:
    """Air between the wall and a lung that has fallen inward: its space, and the line of its pleura."""
    flip, fallen = dice.within("pneumothorax", (-1.0, 1.0), (0.10, 0.24))
    one = ramp(chest.x * flip.sign(), 0.02)
    inward = fallen * (0.45 + 0.55 * ramp(0.25 - chest.y, 1.1)) - chest.depth
    return ramp(inward, 0.02) * one, bump(inward, 0.010) * one


def _where(planes: list[Plane], shown: Tensor) -> Tensor:
    """Return masks: where each plane is seen over lung, for the findings that are shown."""
    stack = torch.stack(planes, 1)
    return (stack > VISIBLE) & (shown[:, :, None, None] > 0)


def _paint_findings(dice: Dice, shown: Tensor, size: int) -> Painted:
    on = shown[:, :, None, None].unbind(1)
    (grown, strength, faint) = dice.within("severity", (1.22, 1.45), (0.20, 0.36), (0.16, 0.26))
    chest = anatomy(dice, size, 1 + on[0] * (grown - 1))
    fluid = _effusion(dice, chest)
    nodules, patch = _nodules(dice, chest, size), _consolidation(dice, chest, "consolidation", size)
    gap, line = _pneumothorax(dice, chest)
    fluid_seen = on[1] * fluid
    opacity = torch.maximum(0.50 * fluid_seen, on[4] * strength * patch) + on[2] * faint * nodules
    opacity = opacity * (1 - on[3] * gap) + on[3] * (0.16 * line - 0.10 * gap)
    image = _radiograph(dice, chest, opacity, on[3] * gap, size)
    lung = chest.lung
    masks = _where([chest.heart, fluid * lung, nodules * lung, gap * lung, patch * lung], shown)
    return Painted(images=image[:, None], masks=masks)


def _paint_opacities(dice: Dice, labels: Tensor, size: int) -> Painted:
    chest = anatomy(dice, size, torch.ones(len(dice), 1, 1))
    strength, glass = dice.within("severity", (0.14, 0.34), (0.14, 0.32))
    patch, rim = _consolidation(dice, chest, "consolidation", size), _ground_glass(dice, chest, size)
    shown = torch.stack([labels == 1, labels == 2], 1).float()  # noqa: PLR2004 - places in OPACITIES
    on = shown[:, :, None, None].unbind(1)
    opacity = on[0] * strength * patch + on[1] * glass * rim
    image = _radiograph(dice, chest, opacity, torch.zeros_like(opacity), size)
    return Painted(images=image[:, None], masks=_where([patch * chest.lung, rim * chest.lung], shown))


CXR = Sketch(
    name="cxr",
    summary="chest radiographs with several findings",
    task="multilabel",
    classes=FINDINGS,
    parts=FINDINGS,
    choose=lambda dice: (dice.uniform("findings", len(FINDINGS)) < _PREVALENCE).float(),
    paint=_paint_findings,
)
CXR3 = Sketch(
    name="cxr3",
    summary="chest radiographs: normal, pneumonia, covid-like",
    task="multiclass",
    classes=OPACITIES,
    parts=OPACITIES[1:],
    choose=lambda dice: dice.shuffled(len(OPACITIES)),
    paint=_paint_opacities,
)
