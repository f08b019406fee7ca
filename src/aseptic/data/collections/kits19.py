"""KiTS19: abdominal CT with kidneys and their tumours, whole volumes or axial slices."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from aseptic.core.errors import InputError
from aseptic.data.base import ReadOptions, Unreadable
from aseptic.data.collections.base import MISSING, Collection
from aseptic.data.collections.lists import Listed, draw_splits, seek_file, shown
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import MASKED
from aseptic.data.scan import Entry, open_entries
from aseptic.data.sources import FileSource

CLASSES = ("background", "kidney", "tumour")
"""By their numbers in the masks."""
CASE = re.compile(r"case_(?P<number>\d{5})")
LABELLED = 210
"""Cases from this number on were published without masks."""
IMAGING, MASK = ("imaging.nii.gz", "imaging.nii"), ("segmentation.nii.gz", "segmentation.nii")
"""As published, or unpacked."""
BELOW = (".", "data")
"""Folders that cases lie in."""
LOW, HIGH = -79.0, 304.0
"""Hounsfield units that become 0 and 1: those to which the winners of the challenge cut scans, Isensee and Maier-Hein
(2019), https://arxiv.org/abs/1908.02182."""
WINDOW = f"{(LOW + HIGH) / 2:g}/{HIGH - LOW:g}"
AXIAL = 0
"""Axis that passes from one axial slice to the next."""
NAMED = "Volumes lie as they are stored: axial slices along the first axis, which --slices 0 cuts."


class Kits19(Collection):
    """210 contrast-enhanced CT scans with masks of kidneys and kidney tumours, a patient each.

    Layout: ``case_00000`` to ``case_00209``, here or in ``data``, each with ``imaging.nii.gz`` and
    ``segmentation.nii.gz``. ``case_00210`` to ``case_00299``, which have no masks, are left out and counted;
    ``kits.json`` is not read.

    Axes: slices, rows, columns, as published, so that `ReadOptions.slices` is 0 for axial slices; nothing is turned.
    Window: -79 to 304 HU in place of ``auto``, because CT has no range of its own and the range of a file depends on
    what else lies in it; ``full`` and ``CENTRE/WIDTH`` are as for any NIfTI. It is our choice, not the publishers'.
    Splits: ``drawn``, at random by case; ``none``. The publishers have none among cases with masks.

    Paper: Heller et al. (2019), https://arxiv.org/abs/1904.00445.
    """

    name: ClassVar[str] = "kits19"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"split": ("drawn", "none")}

    def load(self, folder: Path, chosen: Mapping[str, str], options: ReadOptions) -> ImageSet:
        """Return the set; ids are the files of the scans, with ``#slice`` where they are cut."""
        root, cases = _cases(folder)
        masked = [case for case in cases if seek_file(root / case, MASK)]
        images, notes = _divided(masked, chosen["split"])
        entries, unreadable = _entries(root, images)
        if not entries:
            raise InputError(
                f"{self.name} must have cases such as case_00000 with {IMAGING[0]} and {MASK[0]} in "
                f"{' or '.join(str(folder / place) for place in BELOW)}, and none has both; {shown(folder)}"
            )
        bare = [case for case in cases if case not in set(masked)]
        left = [case for case in bare if int(case[-5:]) >= LABELLED]
        lost = [Unreadable(file=f"{case}/{MASK[0]}", reason=MISSING) for case in bare if case not in set(left)]
        if left:
            notes = [*notes, f"{len(left)} cases were published without masks and were left out."]
        if options.window == "auto":
            options = replace(options, window=WINDOW)
            notes = [*notes, f"{LOW:g} to {HIGH:g} HU become 0 to 1 (--window {WINDOW}), which is our choice."]
        items, unread = open_entries(entries, root, options)
        return ImageSet(
            name=self.name,
            task=MASKED,
            classes=CLASSES,
            items=items,
            source=FileSource(root=root, options=options),
            unreadable=(*unreadable, *lost, *unread),
            notes=(*notes, _axes(options.slices)),
        )


def _cases(folder: Path) -> tuple[Path, list[str]]:
    """Return the folder that cases lie in, and their names in order."""
    for place in BELOW:
        if (root := folder / place).is_dir():
            found = sorted(path.name for path in root.iterdir() if CASE.fullmatch(path.name) and path.is_dir())
            if found:
                return root, found
    return folder, []


def _divided(cases: Sequence[str], split: str) -> tuple[Sequence[Listed], list[str]]:
    """Return the cases with their splits, and a sentence on these."""
    images = [Listed(name=case, label=0, patient=case) for case in cases]
    if split == "none":
        return images, []
    drawn, told = draw_splits(images, "case")
    return drawn, [told]


def _entries(root: Path, images: Sequence[Listed]) -> tuple[list[Entry], list[Unreadable]]:
    """Return the scans of cases with masks, and those that are missing."""
    entries, missing = [], []
    for image in images:
        path, mask = (seek_file(root / image.name, names) for names in (IMAGING, MASK))
        if path is None:
            missing.append(Unreadable(file=f"{image.name}/{IMAGING[0]}", reason=MISSING, split=image.split))
        else:
            entries.append(Entry(path=path, mask=mask, patient=image.patient, split=image.split))
    return entries, missing


def _axes(slices: int | None) -> str:
    """Return a sentence on where the slices lie."""
    if slices in {None, AXIAL}:
        return NAMED
    return f"Slices were cut along axis {slices} and are not axial: axial slices lie along axis {AXIAL}."
