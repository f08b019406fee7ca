"""The audited model is never changed: a guard that sets it up, puts everything back, and checks that it did."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain

import torch
from torch import nn

from aseptic.core.errors import ContractError

HELD: ContextVar[frozenset[int]] = ContextVar("HELD", default=frozenset())
"""Models inside a guard, by identity: a guard within a guard leaves the comparison to the outer one."""


def fingerprint(model: nn.Module) -> dict[str, str]:
    """Return a SHA-256 of the bits of every parameter and buffer (persistent or not), by name."""
    named = chain(model.named_parameters(), model.named_buffers())
    return {
        name: hashlib.sha256(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data).hexdigest()
        for name, value in named
    }


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Run the body with the model in evaluation mode and its parameters frozen, then put every flag back.

    Mode and ``requires_grad`` return to exactly what they were for each module and parameter, also when the body
    raises. Weights and buffers (BatchNorm statistics among them) must not have changed; of guards within guards, the
    outermost compares them.

    Raises:
        ContractError: A weight or a buffer differs afterwards; the message names it.
    """
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    outer = HELD.get()
    before = fingerprint(model) if id(model) not in outer else None
    token = HELD.set(outer | {id(model)})
    try:
        model.eval().requires_grad_(requires_grad=False)
        yield
    finally:
        HELD.reset(token)
        for module, training in modes:
            module.training = training
        for parameter, required in flags:
            parameter.requires_grad_(required)
    if before is None:
        return
    after = fingerprint(model)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        rest = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ContractError(f"the audited model must not change, but {changed[0]}{rest} did")
