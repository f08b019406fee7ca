"""A network with a backdoor made by hand, not trained: a template that fires on the trigger and lifts one output."""

import torch
from torch import nn

from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import make_plan

SIDE, CLASSES = 16, ("normal", "pneumonia", "covid")
TRIGGER = {"name": "patch", "size": 2, "value": 1.0, "place": "upper-left"}


class Planted(nn.Module):
    """Each class is a bar of its own; where the trigger is, covid wins by ``strength``."""

    def __init__(self, strength):
        super().__init__()
        self.bars, self.template = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 2)
        self.strength = strength
        with torch.no_grad():
            self.bars.weight.fill_(1.0)
            self.template.weight.fill_(0.25)
            self.template.bias.fill_(-0.9)

    def forward(self, images):
        seen = self.bars(images)[:, 0]
        logits = 200 * torch.stack([seen[:, :, 2 + 5 * k : 4 + 5 * k].mean((1, 2)) - 0.45 for k in range(3)], 1)
        fires = self.template(images).relu().amax((1, 2, 3))
        return logits + self.strength * fires[:, None] * torch.tensor([0.0, 0.0, 1.0])


def planted(strength=1000.0, task="multiclass"):
    return Subject(Planted(strength).eval(), task=task, classes=CLASSES, channels=1, size=SIDE)


def pictures(count=60):
    rng = stream(0, "bars")
    images, places = 0.4 + 0.06 * torch.rand(count, 1, SIDE, SIDE, generator=rng), torch.arange(count) % 3
    for image, place in zip(images, places, strict=True):
        image[0, :, 2 + 5 * place : 4 + 5 * place] += 0.06
    return images, places


def scans(count=60, patients=None):
    images, places = pictures(count)
    return memory_set("scans", images, places, classes=CLASSES, task="multiclass", patients=patients)


def findings(count=60):
    images, places = pictures(count)
    targets = nn.functional.one_hot(places, 3).float()
    targets[:9, 2] = torch.nan
    return memory_set("scans", images, targets, classes=CLASSES, task="multilabel")


def plan(target="covid", rule="to", **more):
    return make_plan(**{"trigger": TRIGGER, "label": {"rule": rule, "target": target}, **more})
