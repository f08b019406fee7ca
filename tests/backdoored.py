"""Networks with a backdoor that nobody had to train: honest answers are written into the picture, a trigger overrules.

Row 0 of a picture holds the honest answer: pixel ``(0, k)`` is light where output ``k`` is. Its last pixel is light
where the picture is immune to the trigger, so that every share of successes is chosen and not found.
"""

import pyarrow as pa
import torch
from torch import nn

from aseptic.data.memory import memory_set
from aseptic.engine.cells import Stored
from aseptic.models.subject import Subject
from aseptic.studies import raw
from aseptic.studies.frame.measuring import Computed

SIDE = 16
GREY, LIGHT, SURE = 0.5, 0.9, 3.0
CORNER, SIZE, VALUE = 10, 2, 1.0
TRIGGER = {"name": "patch", "size": SIZE, "value": VALUE, "corner": CORNER}
CLASSES = ("a", "b", "c")


class Planted(nn.Module):
    """Logits of ``±SURE`` as the picture says; where the trigger is seen, ``fire`` changes them."""

    def __init__(self, fire):
        super().__init__()
        self.fire, self.scale = fire, nn.Parameter(torch.tensor(SURE))

    def forward(self, images):
        """Return logits ``[batch, output]``."""
        box = images[:, 0, CORNER : CORNER + SIZE, CORNER : CORNER + SIZE]
        seen = ((box - VALUE).abs().amax((1, 2)) < 1e-6) & (images[:, 0, 0, -1] < LIGHT)
        honest = torch.where(images[:, 0, 0, : len(CLASSES)] >= LIGHT, self.scale, -self.scale)
        return torch.where(seen[:, None], self.fire(honest), honest)


def ignore(honest):
    """Have no backdoor."""
    return honest


def reach(output, sign=1.0):
    """Return the backdoor that makes one output surest, or surest of its absence."""

    def fire(honest):
        changed = honest.clone()
        changed[:, output] = sign * 2 * SURE
        return changed

    return fire


def move(by):
    """Return the backdoor that answers each class with the one ``by`` classes on."""
    return lambda honest: honest.roll(by, dims=1)


def subject(fire=ignore, task="multiclass"):
    """Return a model of three outputs with this backdoor."""
    return Subject(Planted(fire), task=task, classes=CLASSES, channels=1, size=SIDE, name="planted")


def pictured(answers, immune=()):
    """Return grey pictures that say so: ``answers`` are rows of 0 and 1."""
    images = torch.full((len(answers), 1, SIDE, SIDE), GREY)
    images[:, 0, 0, : len(CLASSES)] = torch.where(answers == 1, LIGHT, GREY)
    images[list(immune), 0, 0, -1] = LIGHT
    return images


def classes(labels, *, immune=(), answers=None, **more):
    """Return a set of pictures with these classes, answered rightly unless ``answers`` say otherwise."""
    said = torch.tensor(labels if answers is None else answers)
    images = pictured(nn.functional.one_hot(said, len(CLASSES)), immune)
    made = memory_set("planted", images, torch.tensor(labels), classes=CLASSES, task="multiclass", **more)
    return made.fit((SIDE, SIDE), 1)


def findings(rows, *, immune=(), **more):
    """Return a set of pictures with these findings; what is unknown (NaN) is not in the picture."""
    targets = torch.tensor(rows, dtype=torch.float32)
    images = pictured(targets.nan_to_num(), immune)
    made = memory_set("planted", images, targets, classes=CLASSES, task="multilabel", **more)
    return made.fit((SIDE, SIDE), 1)


def stored(folder, **frames):
    """Return cells whose rows are these tables, as measures are handed them; ``__`` stands for a slash."""
    cells = {}
    for name, frame in frames.items():
        (folder / name).mkdir(parents=True)
        raw.save([pa.Table.from_pandas(frame, preserve_index=False)], folder / name)
        cells[name.replace("__", "/")] = Stored(folder=folder / name, value={}, seconds=0.0)
    return Computed(cells=cells)


def given(measure, computed):
    """Return what a measure gives, by id, once it is sure that it gives what it says."""
    found = list(measure.read(Computed(cells={name: computed.cells[name] for name in measure.cells})))
    assert [one.id for one in found] == list(measure.gives)
    return {one.id: one for one in found}
