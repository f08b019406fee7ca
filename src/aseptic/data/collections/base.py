"""What a collection offers: a folder in its published layout becomes a set."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar

from aseptic.core.errors import InputError
from aseptic.data.base import Item, ReadOptions, Unreadable
from aseptic.data.collections.lists import Lists, shown
from aseptic.data.imageset import ImageSet
from aseptic.data.pseudonyms import pseudonym
from aseptic.data.sources import FileSource

MISSING = "the file is missing"
"""Why an image that a list names is kept out."""


class Collection(ABC):
    """One public data set as it is published."""

    name: ClassVar[str]
    """Its name on the command line."""
    choices: ClassVar[Mapping[str, tuple[str, ...]]]
    """Options that may follow the folder, and the values of each; the first holds where none is given."""

    @abstractmethod
    def load(self, folder: Path, chosen: Mapping[str, str], options: ReadOptions) -> ImageSet:
        """Return the set.

        Args:
            folder: Where it was unpacked.
            chosen: One value for each of `choices`.
            options: How files are read.

        Raises:
            InputError: A list is missing or malformed, or no image is there.
        """


class ListedCollection(Collection):
    """A collection whose lists name every image, its label and its patient. Images that are not there are kept out.

    Folders are scanned once and no image is opened, so that a hundred thousand images cost seconds.
    """

    places: ClassVar[tuple[tuple[str, str], ...]]
    """Folders that hold images, and what comes before the names of their files in the lists; of two files with the same
    name, that of the first folder counts."""

    @abstractmethod
    def lists(self, folder: Path, chosen: Mapping[str, str]) -> Lists:
        """Return what the lists say, whether the images are there or not.

        Raises:
            InputError: A list is missing or malformed.
        """

    def load(self, folder: Path, chosen: Mapping[str, str], options: ReadOptions) -> ImageSet:
        """Return the set; ids are the names in the lists."""
        found = self.lists(folder, chosen)
        files, patient = self._scan(folder), cache(lambda name: pseudonym("patient", name))
        items: list[Item] = []
        missing: list[Unreadable] = []
        for one in found.images:
            if one.name in files:
                who = None if one.patient is None else patient(one.patient)
                path = Path(files[one.name])
                items.append(Item(id=one.name, path=path, label=one.label, patient=who, split=one.split))
            else:
                missing.append(Unreadable(file=one.name, reason=MISSING, split=one.split))
        if not items:
            places = ", ".join(place for place, _ in self.places)
            raise InputError(
                f"{self.name} must have its images in one of {places} of {folder}, and none of the "
                f"{len(found.images)} that its lists name is there; {shown(folder)}"
            )
        return ImageSet(
            name=self.name,
            task=found.task,
            classes=found.classes,
            items=tuple(items),
            source=FileSource(root=folder, options=options),
            unreadable=(*found.unreadable, *missing),
            notes=found.notes,
        )

    def _scan(self, folder: Path) -> dict[str, str]:
        """Return the path of every file in `places` by its name in the lists."""
        files: dict[str, str] = {}
        for place, prefix in self.places:
            if (folder / place).is_dir():
                with os.scandir(folder / place) as entries:
                    for entry in entries:
                        if entry.is_file():
                            files.setdefault(prefix + entry.name, entry.path)
        return files
