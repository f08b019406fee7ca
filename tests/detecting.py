"""Detectors whose behaviour the tests know: one of single cells, and one whose boxes move with the image."""

import torch
from nets import pictures
from torch import nn

from aseptic.core.rng import stream
from aseptic.models.subject import Subject

STEEP, EDGE, CELL = 5.0, 0.4, 4


def grid(rows, columns, side=CELL):
    """Return the boxes of the cells, ``[cell, 4]``, row by row."""
    top, left = torch.meshgrid(torch.arange(rows) * side, torch.arange(columns) * side, indexing="ij")
    return torch.stack([left, top, left + side, top + side], 2).reshape(-1, 4).float()


class Cells(nn.Module):
    """The logit of class ``k`` in a cell is ``5 (mean of channel k - 0.4)``: a candidate for each, none overlap."""

    def forward(self, images):
        logits = STEEP * (nn.functional.avg_pool2d(images, CELL) - EDGE)
        boxes = grid(*logits.shape[2:]).expand(len(images), -1, -1).transpose(1, 2)
        return torch.cat([logits.flatten(2), boxes], 1)


def cells(channels=2):
    return Subject(Cells(), task="detection", classes=["cell", "artefact", "third"][:channels], channels=channels)


class DetNet(nn.Module):
    """Convolution, tanh, convolution: a candidate for each 4 x 4 cell, its box moved and sized by the image."""

    def __init__(self, outputs=3):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 6, 3, padding=1, padding_mode="circular"), nn.Conv2d(6, outputs + 4, 1)
        self.outputs = outputs
        rng = stream(0, "detnet")
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng) / parameter[0].numel() ** 0.5
        with torch.no_grad():
            raw = self.raw(pictures((16, 1, 8, 8))).transpose(0, 1).flatten(1)
            self.head.bias -= raw.mean(1)  # and of the candidates of each class, one in nine is an object
            self.head.bias[:outputs] -= 1.2 * raw.std(1)[:outputs]

    def raw(self, images):
        return self.head(nn.functional.avg_pool2d(torch.tanh(4 * self.conv(images)), 2))

    def forward(self, images):
        found = self.raw(images)
        logits, moves = 8 * found[:, : self.outputs].flatten(2), found[:, self.outputs :].flatten(2).tanh()
        boxes = grid(*found.shape[2:], side=2).to(images).T
        wide = torch.cat([boxes[:2] - 1, boxes[2:] + 1]) + 0.5 * moves
        sides = torch.tensor([images.shape[3], images.shape[2]] * 2).to(images)[:, None]
        return torch.cat([logits, wide.clamp(min=0).minimum(sides)], 1)


def detnet(outputs=3):
    return Subject(DetNet(outputs), task="detection", classes=["a", "b", "c", "d"][:outputs], channels=1).eval()


def objects(*rows, most=None):
    """Return targets: for each image a list of ``(label, left, top, right, bottom)``."""
    most = most or max(1, *(len(row) for row in rows))
    found = torch.zeros((len(rows), most, 5))
    found[..., 0] = -1
    for image, row in enumerate(rows):
        for place, one in enumerate(row):
            found[image, place] = torch.tensor(one, dtype=torch.float32)
    return found
