"""A collection as a data set, from a name such as ``covidx5:PATH?half=1``."""

import re
from dataclasses import replace
from pathlib import Path

from aseptic.core.errors import InputError, nearest
from aseptic.data.base import ReadOptions
from aseptic.data.collections.catalogue import COLLECTIONS
from aseptic.data.imageset import ImageSet
from aseptic.data.spec import parse_options

NAMED = re.compile(r"(?P<name>[A-Za-z]\w+):(?P<rest>.*)", re.DOTALL)
"""A name of two letters or more, so that drives are none."""


def is_collection(source: str) -> bool:
    """Return whether a source begins with a name and a colon, and is no path that exists.

    >>> is_collection("nih14:scans"), is_collection("scans"), is_collection("C:/scans")
    (True, False, False)
    """
    found = NAMED.fullmatch(source)
    return found is not None and (found["name"] in COLLECTIONS.table or not Path(source).exists())


def load_collection(source: str, options: ReadOptions) -> ImageSet:
    """Return the set in a folder, read as the collection that is named before it.

    Raises:
        InputError: The collection, an option or a value is unknown; there is no such folder; or it lacks something.
    """
    name, _, rest = source.partition(":")
    kind = COLLECTIONS.load(name)
    path, mark, tail = rest.rpartition("?") if "?" in rest else (rest, "", "")
    given = parse_options(tail, kind.choices, name) if mark else {}
    for key, value in given.items():
        if value not in kind.choices[key]:
            allowed = ", ".join(kind.choices[key])
            raise InputError(
                f"option {key} of {name} must be one of {allowed}; got {value!r}{nearest(value, kind.choices[key])}"
            )
    if not path or not Path(path).is_dir():
        raise InputError(f"{name} must be given the folder that holds it, as {name}:PATH; got {path!r}")
    chosen = {key: values[0] for key, values in kind.choices.items()} | given
    data = kind().load(Path(path), chosen, options)
    picked = "&".join(f"{key}={value}" for key, value in chosen.items() if value != kind.choices[key][0])
    return replace(data, name=f"{name}?{picked}") if picked else data
