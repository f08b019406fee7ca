"""EAD 2019: what spoils frames of endoscopy, with a box about each."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, NamedTuple

from aseptic.core.errors import InputError, nearest
from aseptic.data.base import Box, Item, ReadOptions, Unreadable
from aseptic.data.collections.base import Collection
from aseptic.data.collections.lists import Listed, draw_splits, read_text, seek_file, shown
from aseptic.data.imageset import ImageSet
from aseptic.data.scan import Entry, open_entries
from aseptic.data.sources import FileSource
from aseptic.data.targets import OVERSHOOT

CLASSES = ("specularity", "saturation", "artifact", "blur", "contrast", "bubbles", "instrument")
"""In the order of their numbers, as ``class_list.txt`` of the challenge has them."""
NAMES = "class_list.txt"
ENDING, BOXES = ".jpg", ".txt"
BELOW = (".", "trainingData_detection", "trainingData_detection/trainingData_detection")
"""Folders that the archive is unpacked to."""
PAIRS = ((".", "."), ("images", "bbox"), ("images", "bboxes"))
"""Folders of the images and of their boxes in it."""
FRAME = re.compile(r"(?P<video>.+)_\d+")
"""Name of a frame that is called after its video, as ``1772_A_M62_00012`` is."""
WORDS = 5
"""Words of a line: the class and four numbers."""
LARGEST = 2.0
"""What no share of an image is, even of one whose box reaches over its edge."""


class Found(NamedTuple):
    """One line of a file of boxes."""

    label: int
    """Class number."""
    shares: bool
    """Whether the numbers are centre, width and height in shares of the image, and not corners in pixels."""
    numbers: tuple[float, float, float, float]
    """The four numbers."""


class Ead2019(Collection):
    """Frames of endoscopy with boxes about seven kinds of artefact; 17,818 boxes in the release of the challenge.

    Layout: ``trainingData_detection``, or what is in it: images ``NAME.jpg`` beside ``NAME.txt``, or images in
    ``images`` and texts in ``bbox`` or ``bboxes``. A line is ``CLASS X Y WIDTH HEIGHT`` as published: the number of the
    class, and the centre and size of the box in shares of the image; or ``NAME LEFT TOP RIGHT BOTTOM`` in pixels, as
    the organisers' tools convert it. An image without boxes has an empty text. EAD 2020, with an eighth class, is
    another set and is refused.

    Splits: ``drawn``, at random; ``none``. The boxes of the frames for test were not published with them. Videos are
    not named either: frames whose names differ only in a last number (``1772_A_M62_00012``) count as one video, and
    all others as frames of their own, so that frames of one video may be on both sides of a split.

    Paper: Ali et al. (2019), https://arxiv.org/abs/1905.03209.
    """

    name: ClassVar[str] = "ead2019"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"split": ("drawn", "none")}

    def load(self, folder: Path, chosen: Mapping[str, str], options: ReadOptions) -> ImageSet:
        """Return the set; ids are the names of the images."""
        root, paths, texts = _find(folder)
        _check_names((folder, root, texts))
        videos = _videos([path.stem for path in paths])
        listed: Sequence[Listed] = [Listed(name=path.stem, label=0, patient=videos[path.stem]) for path in paths]
        notes = [_grouped(videos)]
        if chosen["split"] == "drawn":
            listed, told = draw_splits(listed, "video")
            notes.append(told)
        entries = [
            Entry(path=path, patient=one.patient, split=one.split) for path, one in zip(paths, listed, strict=True)
        ]
        items, unreadable = open_entries(entries, root, options)
        counts: Counter[str] = Counter()
        items = tuple(_with_boxes(item, texts, counts) for item in items)
        stems = {path.stem for path in paths}
        strays = [
            Unreadable(file=path.name, reason="no image has its name")
            for path in sorted(texts.glob(f"*{BOXES}"))
            if path.stem not in stems and path.name != NAMES
        ]
        return ImageSet(
            name=self.name,
            task="detection",
            classes=CLASSES,
            items=items,
            source=FileSource(root=root, options=options),
            unreadable=(*unreadable, *strays),
            notes=(*notes, *(f"{count} {told}." for told, count in counts.items())),
        )


def _find(folder: Path) -> tuple[Path, list[Path], Path]:
    """Return the folder of the images, the images, and the folder of their boxes."""
    for place in BELOW:
        for images, boxes in PAIRS:
            root, texts = folder / place / images, folder / place / boxes
            if root.is_dir() and texts.is_dir():
                paths = sorted(path for path in root.iterdir() if path.suffix.lower() == ENDING)
                if paths:
                    return root, paths, texts
    raise InputError(
        f"{Ead2019.name} must have images NAME{ENDING} beside NAME{BOXES}, or in images beside bbox or bboxes, in "
        f"{' or '.join(str(folder / place) for place in BELOW[:2])}; {shown(folder)}"
    )


def _check_names(places: Sequence[Path]) -> None:
    """Refuse a copy whose list of classes, where it is there, is another."""
    path = next((found for place in places if (found := seek_file(place, [NAMES]))), None)
    if path is not None and (names := read_text(path).split()) != list(CLASSES):
        raise InputError(f"{NAMES} must be {', '.join(CLASSES)}; got {', '.join(names)}")


def _videos(stems: Sequence[str]) -> dict[str, str | None]:
    """Return the video of every frame, None where the name says nothing, as one that all frames share does."""
    found = {stem: frame["video"] if (frame := FRAME.fullmatch(stem)) else None for stem in stems}
    return found if len(set(found.values())) > 1 else dict.fromkeys(stems)


def _grouped(videos: Mapping[str, str | None]) -> str:
    """Return a sentence on how many videos could be told apart."""
    alone = sum(video is None for video in videos.values())
    named = len(set(videos.values()) - {None})
    return (
        f"Patients are not published: {named} videos were told by the names of their frames, and {alone} frames count "
        "as videos of their own."
    )


def _with_boxes(item: Item, texts: Path, counts: Counter[str]) -> Item:
    """Return the item with its boxes, cut at the edges of the image; ``counts`` learns what was cut or lacks."""
    path = texts / f"{Path(item.id).stem}{BOXES}"
    if not path.is_file():
        counts["images have no file of boxes and were taken for images without objects"] += 1
        return item
    rows, columns = (float(length) for length in item.space or (0, 0))
    boxes = []
    for found in _read(path):
        corners = _corners(found, rows, columns)
        inside = tuple(min(max(at, 0.0), end) for at, end in zip(corners, (columns, rows, columns, rows), strict=True))
        left, top, right, bottom = inside
        if left >= right or top >= bottom:
            counts["boxes have no area inside their image and were left out"] += 1
            continue
        if max(abs(at - cut) for at, cut in zip(corners, inside, strict=True)) > OVERSHOOT:
            counts["boxes reach over the edge of their image and were cut off there"] += 1
        boxes.append(Box(corners=(left, top, right, bottom), label=found.label))
    return replace(item, boxes=tuple(boxes))


def _corners(found: Found, rows: float, columns: float) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom in pixels."""
    if not found.shares:
        return found.numbers
    x, y, wide, high = found.numbers
    return (
        (x - wide / 2) * columns,
        (y - high / 2) * rows,
        (x + wide / 2) * columns,
        (y + high / 2) * rows,
    )


def _read(path: Path) -> list[Found]:
    """Return the boxes in a file."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [_line(line.split(), f"line {n} of {path.name}") for n, line in lines if line.strip()]


def _line(words: Sequence[str], where: str) -> Found:
    """Return what one line says."""
    try:
        first, second, third, fourth = (float(word) for word in words[1:])
    except ValueError:
        first = second = third = fourth = math.nan
    numbers = (first, second, third, fourth)
    shares = words[0].isdecimal()
    if len(words) != WORDS or not all(map(math.isfinite, numbers)) or (shares and max(map(abs, numbers)) > LARGEST):
        raise InputError(
            f"{where} must be CLASS X Y WIDTH HEIGHT in shares of the image, or NAME LEFT TOP RIGHT BOTTOM in pixels, "
            f"got {' '.join(words)!r}"
        )
    name = CLASSES[int(words[0])] if shares and int(words[0]) < len(CLASSES) else words[0]
    if name not in CLASSES:
        raise InputError(
            f"class must be 0 to {len(CLASSES) - 1} or one of {', '.join(CLASSES)}; got {name!r} in {where}"
            f"{nearest(name, CLASSES)}"
        )
    return Found(label=CLASSES.index(name), shares=shares, numbers=numbers)
