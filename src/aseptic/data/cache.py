"""Decoded images kept in memory up to a number of bytes; the least recently used go first."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

from torch import Tensor

LIMIT = 1 << 30
"""Default size of a cache: 1 GiB."""


class Cache:
    """A least-recently-used cache of tensors, safe to share between threads and between views of one data set."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Start empty; ``limit`` is in bytes, 0 keeps nothing."""
        self.limit = limit
        self.held = 0
        self._lock = Lock()
        self._tensors: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, key: Hashable) -> Tensor | None:
        """Return the tensor kept under ``key``, or None; the caller must not write to it."""
        with self._lock:
            if (found := self._tensors.get(key)) is not None:
                self._tensors.move_to_end(key)
            return found

    def put(self, key: Hashable, tensor: Tensor) -> None:
        """Keep ``tensor``, forgetting the least recently used ones if need be; one above the limit is not kept."""
        if tensor.nbytes > self.limit:
            return
        with self._lock:
            if (old := self._tensors.pop(key, None)) is not None:
                self.held -= old.nbytes
            self._tensors[key] = tensor
            self.held += tensor.nbytes
            while self.held > self.limit:
                self.held -= self._tensors.popitem(last=False)[1].nbytes
