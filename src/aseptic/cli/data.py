"""Opens the data that a command names, for the model that it is meant for."""

from pathlib import Path

from aseptic.cli import options
from aseptic.data.imageset import ImageSet
from aseptic.data.load import load_data
from aseptic.data.splits import sample
from aseptic.models.subject import Subject


def open_data(  # noqa: PLR0913 - one parameter for each option
    source: str,
    subject: Subject,
    *,
    split: str | None = None,
    limit: int | None = None,
    window: str = "auto",
    slices: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Return the part of the data that is asked for; without a choice, the test split where there is one."""
    read, task = options.read_options(window, slices), subject.task
    data = load_data(source, options=read, split=split, seed=seed)
    if data.task is not None and data.task != task.name:  # a table may be labelled in several ways
        data = load_data(source, options=read, split=split, seed=seed, task=task.name)
    if data.task is None and _folders_are_classes(source, task.classes):
        data = load_data(source, options=read, split=split, seed=seed, task=task.name, classes=task.classes)
    if split is None and any(item.split == "test" for item in data.items):
        data = data.split("test")
    return data if limit is None else data.select(sample(data.items, limit, seed=seed))


def _folders_are_classes(source: str, classes: tuple[str, ...]) -> bool:
    """Return whether the sub-folders are called as the model's classes are."""
    folder = Path(source)
    found = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    return bool(found) and found <= set(classes)
