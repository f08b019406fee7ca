"""A phantom as a data set, from a name such as ``phantom:cxr3?n=600&size=64&seed=1``."""

from dataclasses import replace

from aseptic.core.errors import InputError
from aseptic.data.imageset import ImageSet
from aseptic.data.memory import memory_set
from aseptic.data.phantoms.drawing import draw, numbered
from aseptic.data.spec import parse_options
from aseptic.data.splits import make_splits

PREFIX = "phantom:"
"""Begins the name of every phantom."""
NOTE = "phantom images drawn by aseptic, not patients"
"""Goes with every number measured on a phantom."""
OPTIONS = {"n": 600, "size": 96, "seed": 0}
"""What may follow the name, and what holds where it does not: images, pixels along an edge, root seed."""


def load_phantom(spec: str) -> ImageSet:
    """Draw a phantom and return it as a set with splits, patients whole.

    ``mask(i)`` numbers the parts of the drawing from 1; for a segmentation they are the classes.

    Raises:
        InputError: The name or an option is unknown, a value is not a whole number or is out of range.
    """
    name, options = parse_spec(spec)
    drawn = draw(name, options["n"], size=options["size"], seed=options["seed"])
    graded = drawn.task in {"multiclass", "multilabel"}
    data = memory_set(
        PREFIX + name,
        drawn.images,
        drawn.targets if graded else None,
        classes=drawn.classes,
        task=drawn.task,
        ids=[f"{name}-{options['seed']}/{i:05d}" for i in range(options["n"])],
        patients=drawn.patients,
        masks=None if drawn.masks is None else numbered(drawn.masks),
        boxes=drawn.boxes,
        notes=(NOTE,),
    )
    return replace(data, items=make_splits(data.items, seed=options["seed"]))


def parse_spec(spec: str) -> tuple[str, dict[str, int]]:
    """Return the name and the options of a spec.

    >>> parse_spec("phantom:derm?n=30")
    ('derm', {'n': 30, 'size': 96, 'seed': 0})

    Raises:
        InputError: It does not begin with ``phantom:``, or an option is unknown, given twice or not a whole number.
    """
    if not spec.startswith(PREFIX):
        raise InputError(f"a phantom is named {PREFIX}NAME?OPTION=VALUE&..., got {spec!r}")
    name, mark, tail = spec.removeprefix(PREFIX).partition("?")
    given = parse_options(tail, OPTIONS, PREFIX + name) if mark else {}
    for key, value in given.items():
        if not (value.isascii() and value.isdigit()):
            raise InputError(f"option {key} of {PREFIX}{name} must be a whole number, got {value!r}")
    return name, OPTIONS | {key: int(value) for key, value in given.items()}
