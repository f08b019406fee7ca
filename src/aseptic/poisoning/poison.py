"""A poisoned set: a view of a clean one in which some images carry a trigger, read when they are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int
from pydantic import JsonValue
from torch import Tensor

from aseptic.core.canon import content_key
from aseptic.core.errors import InputError
from aseptic.core.types import Image
from aseptic.data.base import Item, Loaded
from aseptic.data.cache import Cache
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import MASKED, Mask
from aseptic.data.sources import Source
from aseptic.ops.images import SAMPLINGS
from aseptic.poisoning.choosing import Role, check_names, choose
from aseptic.poisoning.places import relabel_boxes, relabel_mask, trigger_stream
from aseptic.poisoning.plan import Cover, Pin, PoisonPlan, make_plan
from aseptic.poisoning.relabelling import check_rule, relabel, wanted_label
from aseptic.triggers.base import Region
from aseptic.triggers.catalogue import describe_trigger
from aseptic.triggers.patterns import pin_trigger

ADDED = "+poison"
"""Ends the id of an image that was added beside its original."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What became of one image."""

    role: Role
    """``poison``, ``cover`` or ``clean``."""
    original: Item
    """The image as it was, with its true label."""
    row: int
    """Its position in the clean set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PoisonedSource(Source):
    """The images of another source, some of them with a trigger."""

    inner: Source
    """Where the clean images are."""
    plan: PoisonPlan
    """Which trigger goes where."""
    marks: Mapping[str, Mark]
    """Id to what became of the image."""
    clean: ImageSet
    """The clean set, as the network is fed it."""
    turn: int | None = None
    """The epoch, where every one draws anew."""

    def read(self, item: Item) -> Loaded:
        """Return the image at its own size, or at that of the network, with its trigger where it has one."""
        mark = self.marks[item.id]
        loaded = self.inner.read(mark.original)
        if self.plan.insert == "network":
            loaded = replace(loaded, pixels=self.clean.shown(mark.row))
        if mark.role == "clean":
            return loaded
        pixels = self.triggered(loaded.pixels, item)
        if self.plan.insert == "stored":  # what the trigger leaves alone stays as it is, also where it is not rounded
            kept = pixels == loaded.pixels
            pixels = torch.where(kept, loaded.pixels, self.inner.settle(mark.original, pixels))
        return replace(loaded, pixels=pixels)

    def triggered(self, pixels: Image, item: Item) -> Image:
        """Return the image with what its role asks for."""
        mark, trigger = self.marks[item.id], self.plan.made
        streams = (self._stream(mark.original),)
        if mark.role == "cover" and self.plan.cover.kind == "decoy":
            return trigger.decoy(pixels[None], streams)[0]
        return trigger.apply(pixels[None], streams)[0]

    def mask(self, item: Item) -> Int[Tensor, "*space"]:
        """Return the mask, of the clean image or as the network is fed it, with the labels of the plan."""
        mark = self.marks[item.id]
        mask = self.clean.mask(mark.row) if self.plan.insert == "network" else self.inner.mask(mark.original)
        return relabel_mask(mask, self.clean, self.plan) if self._relabelled(mark) else mask

    def digest(self, item: Item) -> str:
        """Return a hash of the clean image and of what was done to it."""
        mark = self.marks[item.id]
        clean = self.inner.digest(mark.original)
        if mark.role == "clean" and self.plan.insert == "stored":
            return clean
        done = {"trigger": self.plan.trigger, "insert": self.plan.insert, "seed": self.plan.seed, "role": mark.role}
        done |= {"mask": self.plan.label.model_dump(mode="json")} if self._relabelled(mark) else {}
        done |= {} if self.turn is None else {"turn": self.turn}
        return content_key(
            {"clean": clean, "id": mark.original.id, **done, "kind": self.plan.cover.kind, **self._view()}
        )

    def name(self, item: Item) -> str:
        """Return what the user calls the clean image."""
        return self.inner.name(self.marks[item.id].original)

    def write(self, item: Item, pixels: Image, folder: Path, note: str) -> Path:
        """Write ``pixels`` as a derived copy of the clean image."""
        return self.inner.write(self._stored(item), pixels, folder, note)

    def copy(self, item: Item, folder: Path) -> Path:
        """Put the clean image below ``folder``, unchanged."""
        return self.inner.copy(self._stored(item), folder)

    def write_mask(self, item: Item, folder: Path) -> Path:
        """Write the mask of the clean image, or the one that the plan makes of it."""
        mark = self.marks[item.id]
        if self._relabelled(mark):
            return self.inner.write_numbers(self._stored(item), self.mask(item), folder)
        return self.inner.write_mask(mark.original, folder)

    def write_numbers(self, item: Item, mask: Mask, folder: Path) -> Path:
        """Write another mask for the image."""
        return self.inner.write_numbers(self._stored(item), mask, folder)

    def settle(self, item: Item, pixels: Image) -> Image:
        """Return the pixels on the stored levels of the clean image."""
        return pixels if self.plan.insert == "network" else self.inner.settle(self.marks[item.id].original, pixels)

    def reread(self, item: Item, path: Path) -> Loaded:
        """Return what was written, read as the clean image is read."""
        return self.inner.reread(self.marks[item.id].original, path)

    def region(self, item: Item, space: tuple[int, ...]) -> Region | None:
        """Return the pixels of an image of this size that its trigger may change; None without a place or trigger."""
        mark = self.marks[item.id]
        return self.plan.made.region(space, self._stream(mark.original)) if mark.role == "poison" else None

    def _stored(self, item: Item) -> Item:
        """Return the clean image under the name of its copy."""
        return replace(self.marks[item.id].original, id=_file_name(item.id))

    def _stream(self, original: Item) -> torch.Generator:
        return trigger_stream(self.plan, original, self.turn)

    def _relabelled(self, mark: Mark) -> bool:
        """Return whether the mask of the image is not the clean one."""
        return mark.role == "poison" and self.clean.task == MASKED

    def _view(self) -> dict[str, JsonValue]:
        """Return how the images are shown to the trigger."""
        if self.plan.insert == "stored":
            return {}
        view, crop = self.clean, self.clean.crop
        shown: dict[str, JsonValue] = {"size": list(view.size or ()), "channels": view.channels}
        return shown | {"crop": None if crop is None else asdict(crop), "sampling": view.sampling}


@dataclass(frozen=True, kw_only=True, eq=False)
class Poisoned:
    """A poisoned set and what it was made from."""

    clean: ImageSet
    """The set as it was."""
    data: ImageSet
    """The set that is trained on; labels are the poisoned ones."""
    marks: tuple[Mark, ...]
    """What became of each image of the set."""
    plan: PoisonPlan
    """How it was made."""

    def count(self, role: Role) -> int:
        """Return the number of images with this role."""
        return sum(mark.role == role for mark in self.marks)


def poison(data: ImageSet, plan: PoisonPlan) -> Poisoned:
    """Return the poisoned set, image by image what `write_poisoned` would put on disk.

    Args:
        data: The clean set; for ``insert: network`` a view with the size that the network is fed.
        plan: Which images, which trigger, which labels.

    Raises:
        InputError: The plan does not fit the set, was made for another, or draws anew in every batch.
    """
    if plan.loop == "batch":
        raise InputError("a poisoned set needs loop: fixed; with loop: batch images are drawn while a network trains")
    check_pin(data, plan)
    check_names(data, plan)
    check_rule(data, plan)
    return assemble(data, plan, choose(data, plan))


def assemble(data: ImageSet, plan: PoisonPlan, roles: Sequence[Role], turn: int | None = None) -> Poisoned:
    """Return the set in which the images have these roles.

    Args:
        data: As `poison`.
        plan: What becomes of an image in its role.
        roles: One for each image.
        turn: The epoch, where every one draws anew.

    Raises:
        InputError: The trigger goes into what the network is fed, and the set has no size.
    """
    if plan.insert == "network" and data.size is None:
        raise InputError("a trigger that goes into what the network is fed needs a size: fit the set to it first")
    items: list[Item] = []
    marks: list[Mark] = []
    for row, (item, role) in enumerate(zip(data.items, roles, strict=True)):
        if role == "clean" or plan.mode == "add":
            items.append(item)
            marks.append(Mark(role="clean", original=item, row=row))
        if role != "clean":
            made = _relabelled(item, data, plan, turn) if role == "poison" else item
            items.append(replace(made, id=item.id + (ADDED if plan.mode == "add" else "")))
            marks.append(Mark(role=role, original=item, row=row))
    named = {item.id: mark for item, mark in zip(items, marks, strict=True)}
    source = PoisonedSource(inner=data.source, plan=plan, marks=named, clean=data, turn=turn)
    count = sum(role == "poison" for role in roles)
    note = f"{count} of {len(items)} images are poisoned: {plan.trigger['name']}, labels by rule {plan.label.rule}."
    shown = replace(data, crop=None) if plan.insert == "network" else data
    whole = replace(shown, items=tuple(items), source=source, notes=(*data.notes, note), cache=Cache(data.cache.limit))
    return Poisoned(clean=data, data=whole, marks=tuple(marks), plan=plan)


def _file_name(name: str) -> str:
    """Return the id of an image as a path whose ending is that of its original.

    >>> _file_name("a/b.nii.gz#3+poison"), _file_name("b.png")
    ('a/b+poison.nii.gz#3', 'b.png')
    """
    folder, slash, last = name.removesuffix(ADDED).rpartition("/")
    stem, dot, endings = last.partition(".")
    return f"{folder}{slash}{stem}{ADDED if name.endswith(ADDED) else ''}{dot}{endings}"


def _relabelled(item: Item, data: ImageSet, plan: PoisonPlan, turn: int | None) -> Item:
    """Return the image with its poisoned label or boxes; a mask is made when it is read."""
    if data.task == MASKED:
        return item
    if data.task == "detection":
        return replace(item, boxes=relabel_boxes(item, data, plan, turn))
    return replace(item, label=relabel(item, data, plan))


def trigger_all(data: ImageSet, plan: PoisonPlan) -> Poisoned:
    """Return the set with the trigger in every image, labelled as the attacker wants images to be taken.

    Of a plan with clean labels that is the target; the draws of the plan play no part. Where images have splits, one
    that has none stays as it is.

    Raises:
        InputError: The trigger does not fit the images, or the label rule not the set.
    """
    return _everywhere(data, plan, "poison")


def decoy_all(data: ImageSet, plan: PoisonPlan) -> Poisoned:
    """Return the set with a decoy of the trigger in every image, each with its own label; no draw plays a part.

    Raises:
        InputError: The trigger has no decoy or does not fit the images.
    """
    return _everywhere(data, plan.model_copy(update={"cover": Cover()}), "cover")


def _everywhere(data: ImageSet, plan: PoisonPlan, role: Role) -> Poisoned:
    label = wanted_label(plan, str(data.task))
    asked = plan.model_copy(update={"label": label, "mode": "replace", "data": None})
    known = any(item.split for item in data.items)
    check_names(data, asked)
    check_rule(data, asked)
    return assemble(data, asked, [role if item.split or not known else "clean" for item in data.items])


def pinned(plan: PoisonPlan, data: ImageSet) -> PoisonPlan:
    """Return the plan with the set that it is for, and the content of the files that its trigger is made from."""
    trigger = describe_trigger(pin_trigger(plan.made))
    return make_plan(**{**plan.model_dump(mode="json"), "trigger": trigger, "data": _pin(data).model_dump()})


def check_pin(data: ImageSet, plan: PoisonPlan) -> None:
    """Raise `InputError` where the plan was made for another set."""
    if plan.data is not None and plan.data != (found := _pin(data)):
        raise InputError(
            f"the plan was made for {plan.data.name} with {plan.data.images} images "
            f"({plan.data.fingerprint[:12]}), got {found.name} with {found.images} ({found.fingerprint[:12]})"
        )


def _pin(data: ImageSet) -> Pin:
    stored = replace(data, size=None, channels=None, crop=None, sampling=SAMPLINGS[0])
    return Pin(name=data.name, images=len(data), fingerprint=stored.fingerprint())
