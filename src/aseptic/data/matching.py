"""A data set with its classes in the order of a model that is trained further on it."""

from collections.abc import Sequence
from dataclasses import replace

from aseptic.core.errors import InputError
from aseptic.data.base import Item
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import MASKED


def match_classes(data: ImageSet, classes: Sequence[str]) -> ImageSet:
    """Return the set with these classes in this order; labels, findings and boxes are numbered anew, by name.

    Raises:
        InputError: The set has other classes; or its masks, which hold numbers, have them in another order.
    """
    wanted, found = tuple(classes), data.classes
    if found == wanted:
        return data
    if set(found) != set(wanted):
        parts = [
            f"{told} {', '.join(names)}"
            for told, names in (
                ("it lacks", [name for name in wanted if name not in found]),
                ("it also has", [name for name in found if name not in wanted]),
            )
            if names
        ]
        raise InputError(
            f"classes of {data.name} must be {', '.join(wanted)}, as the model has: {'; '.join(parts)} "
            "(where labels are numbers, or a class has no image, give `classes`)"
        )
    if data.task == MASKED:
        raise InputError(
            f"masks of {data.name} must number the classes as the model does, {', '.join(wanted)}; "
            f"got {', '.join(found)}"
        )
    places = [wanted.index(name) for name in found]
    return replace(data, classes=wanted, items=tuple(_renumbered(item, places) for item in data.items))


def _renumbered(item: Item, places: Sequence[int]) -> Item:
    label = item.label
    if isinstance(label, tuple):
        label = tuple(label[places.index(place)] for place in range(len(places)))
    elif label is not None:
        label = places[label]
    # a label that is no class stays one: whoever verifies the set keeps its image out and says so
    number = dict(enumerate(places))
    boxes = tuple(replace(box, label=number.get(box.label, box.label)) for box in item.boxes)
    return replace(item, label=label, boxes=boxes)
