"""Values of DICOM elements, tolerant of what hostile or old files hold, and never quoting an identifier."""

import logging
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom import Dataset

from aseptic.data.sealed import sealed as plainly_sealed

BAD_VALUE = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, NotImplementedError)
"""What pydicom raises on access to an element that cannot be understood; the last for a kind of value that it lacks."""

# pydicom logs the values that it finds fault with, and those may be identifiers.
logging.getLogger("pydicom").propagate = False


class _Quiet:
    """Ignores pydicom's warnings while any thread is inside; `warnings.catch_warnings` alone is not thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._caught.__exit__(None, None, None)


_QUIET = _Quiet()


@contextmanager
def sealed(failure: str) -> Iterator[None]:
    """Seal errors as `aseptic.data.sealed.sealed` does, and ignore pydicom's warnings: bad header values are tolerated.

    Raises:
        InputError: Something inside failed; ``failure`` and the type of the error are the message.
    """
    with plainly_sealed(failure), _QUIET:
        yield


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence, none where it is absent or not a sequence."""
    try:
        value = dataset.get(keyword)
    except BAD_VALUE:
        return []
    # pydicom's Sequence is a MutableSequence; a text is one too, and holds no data sets
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Sequence) else []


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return the finite numbers of an attribute, none where it is absent or one of them is not a number."""
    try:
        value = dataset.get(keyword)
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        found = [] if value is None else [float(part) for part in several]
    except BAD_VALUE:
        return []
    return found if all(map(math.isfinite, found)) else []


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first number of an attribute, or None."""
    return next(iter(numbers(dataset, keyword)), None)


def text(dataset: Dataset, keyword: str) -> str:
    """Return an attribute as text, empty where it is absent or cannot be understood."""
    try:
        value = dataset.get(keyword)
    except BAD_VALUE:
        return ""
    return "" if value is None else str(value).strip()
