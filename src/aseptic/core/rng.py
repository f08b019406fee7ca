"""Named random streams: randomness is an argument, and one root seed gives every stream."""

import hashlib

import numpy as np
import torch


def derive(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream ``names`` under the root ``seed``.

    >>> derive(0, "a") == derive(0, "a") != derive(0, "b")
    True
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator for the stream ``names``; draw on the CPU, then move."""
    return torch.Generator().manual_seed(derive(seed, *names))


def numpy_stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator for the stream ``names``."""
    return np.random.default_rng(derive(seed, *names))
