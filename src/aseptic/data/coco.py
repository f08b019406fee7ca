"""COCO json: images and the boxes of the objects in them."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aseptic.core.errors import InputError
from aseptic.data.base import Box, Item
from aseptic.data.scan import Entry, Listing, split_name

PARTS = ("images", "annotations", "categories")
"""What a COCO file must have."""


def is_coco(path: Path) -> bool:
    """Return whether a json file holds COCO annotations."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and all(isinstance(content.get(part), list) for part in PARTS)


def list_coco(path: Path, *, classes: Sequence[str] | None) -> Listing:
    """List the images of a COCO file; files are relative to its folder, or to ``images`` beside it.

    Raises:
        InputError: The file is not COCO, an annotation names an image or category that is not there, or a category is
            not among ``classes``.
    """
    if not is_coco(path):
        raise InputError(f"{path.name} must be a COCO json with {', '.join(PARTS)}")
    content = json.loads(path.read_text("utf-8"))
    try:
        names = {one["id"]: str(one["name"]) for one in sorted(content["categories"], key=lambda one: int(one["id"]))}
        boxes = _boxes(content["annotations"], names, tuple(classes or names.values()))
        known = {one["id"] for one in content["images"]}
        if strays := sorted(set(boxes) - known):
            raise InputError(f"{path.name}: annotations must name an image of the file, got image_id {strays[0]!r}")
        entries = tuple(_entry(one, path.parent, boxes) for one in content["images"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path.name} is not valid COCO: {type(error).__name__} {error}") from error
    return Listing(root=path.parent, task="detection", classes=tuple(classes or names.values()), entries=entries)


def coco_text(files: Sequence[str], items: Sequence[Item], classes: Sequence[str], *, splits: bool = False) -> str:
    """Return the boxes of images as COCO json, which `list_coco` reads back.

    Args:
        files: Where each image is, relative to the json.
        items: What is known of each.
        classes: Names of the classes.
        splits: Whether to say of each image which split it is in.
    """
    images = []
    for number, (name, item) in enumerate(zip(files, items, strict=True)):
        rows, columns = item.space or (None, None)
        one = {"id": number, "file_name": name, "width": columns, "height": rows}
        more = {"patient_id": item.patient, "split": item.split if splits else None}
        images.append(one | {name: value for name, value in more.items() if value})
    drawn = [(number, box) for number, item in enumerate(items) for box in item.boxes]
    annotations = []
    for number, (image, box) in enumerate(drawn):
        left, top, right, bottom = box.corners
        corners = [left, top, right - left, bottom - top]
        annotations.append({"id": number, "image_id": image, "category_id": box.label, "bbox": corners})
    categories = [{"id": number, "name": name} for number, name in enumerate(classes)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories}, indent=1)


def _boxes(
    annotations: list[dict[str, Any]], names: dict[int, str], classes: tuple[str, ...]
) -> dict[int, tuple[Box, ...]]:
    """Return the boxes of each image, corners from COCO's left, top, width, height."""
    found: dict[int, tuple[Box, ...]] = defaultdict(tuple)
    for one in annotations:
        if one["category_id"] not in names:
            raise InputError(f"category_id must be one of {list(names)}, got {one['category_id']!r}")
        if (name := names[one["category_id"]]) not in classes:
            raise InputError(f"label must be one of {', '.join(classes)}; got {name!r} in annotation {one.get('id')}")
        left, top, width, height = (float(value) for value in one["bbox"])
        corners = (left, top, left + width, top + height)
        found[one["image_id"]] += (Box(corners=corners, label=classes.index(name)),)
    return dict(found)


def _entry(image: dict[str, Any], folder: Path, boxes: dict[int, tuple[Box, ...]]) -> Entry:
    name = str(image["file_name"])
    path = folder / name
    if not path.exists() and (folder / "images" / name).exists():
        path = folder / "images" / name
    patient = image.get("patient_id")
    return Entry(
        path=path,
        boxes=boxes.get(image["id"], ()),
        patient=None if patient is None else str(patient),
        split=split_name(str(image.get("split") or ""), f"image {image['id']}"),
    )
