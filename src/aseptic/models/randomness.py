"""Networks draw initial weights and dropout from torch's global generators; here they are lent a named stream."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from aseptic.core.rng import derive, stream

CPU = torch.device("cpu")


@contextmanager
def seeded(seed: int, *names: str | int, device: torch.device = CPU) -> Iterator[None]:
    """Run the block with torch's global generators at the stream ``names``, and give the caller's state back.

    Args:
        seed: Root seed.
        names: Name of the stream under the root seed.
        device: Where the block draws; its generator is set and restored along with the CPU's.
    """
    cuda = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.set_rng_state(stream(seed, *names).get_state())
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(derive(seed, *names))
        yield
