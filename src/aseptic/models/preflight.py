"""Doubts about a model before it is audited: each check is a sentence with its evidence, or a refusal."""

from collections.abc import Callable

import torch
from pydantic import JsonValue
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Targets
from aseptic.models import checks, feeding, objects
from aseptic.models.checks import Check, Probe, check
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject

LIMIT = 128
"""Most images looked at; enough for three standard errors to mean something."""
CHECKS: tuple[Callable[[Probe], Check], ...] = (
    checks.random_output,
    checks.batch_dependence,
    checks.raw_logits,
    feeding.scale,
    checks.gradient,
    feeding.class_order,
)
"""What is asked of a network that returns finite logits of the right shape, in the order of asking."""
OF_OBJECTS: tuple[Callable[[Probe], Check], ...] = (
    checks.random_output,
    checks.batch_dependence,
    checks.candidate_logits,
    checks.gradient,
    objects.scale,
    objects.class_order,
)
"""What is asked of a detector."""


def preflight(subject: Subject, images: Images, targets: Targets, *, seed: int) -> tuple[Check, ...]:
    """Return what is doubtful, and what is not, about auditing ``subject`` on these images.

    The network is looked at in evaluation mode and comes back as it was. A refusal about the images or the outputs
    ends the list, because the checks behind it would mean nothing.

    Args:
        subject: The model; call this before it is put into evaluation mode, so that training mode is noticed.
        images: A sample in [0, 1]; at most `LIMIT` of them, drawn from the stream ``"preflight"``, are used.
        targets: What is true of them.
        seed: Root seed.

    Raises:
        InputError: There are no images.
    """
    if not len(images):
        raise InputError("preflight needs at least 1 image, got 0")
    chosen = torch.randperm(len(images), generator=stream(seed, "preflight"))[:LIMIT].sort().values
    device = next((each.device for each in subject.parameters()), images.device)
    found = [checks.train_mode(subject)]
    images, targets = images[chosen].to(device), targets[chosen].to(device)
    found.append(_range(images))
    if found[-1].status == "refused":
        return tuple(found)
    with untouched(subject), torch.no_grad():
        logits, output = _outputs(subject, images)
        found.append(output)
        if logits is None:
            return tuple(found)
        probe = Probe(subject=subject, images=images, targets=targets, logits=logits, seed=seed)
        asked = OF_OBJECTS if subject.task.boxes else CHECKS
        return (*found, *(each(probe) for each in asked))


def _range(images: Tensor) -> Check:
    low, high = float(images.amin()), float(images.amax())
    evidence = {"low": low, "high": high}
    if not images.isfinite().all() or low < 0 or high > 1:
        return check("range", "refused", f"Images must lie in [0, 1], got [{low:g}, {high:g}].", evidence)
    return check("range", "ok", "The images lie in [0, 1].", evidence)


def _candidates(subject: Subject, images: Tensor, logits: Tensor) -> tuple[Tensor | None, Check]:
    """Return the candidates of a detector in pixels of the images, or None and why they cannot be used."""
    try:
        subject.task.check_shape(images, logits)
    except InputError as error:
        sentence = f"The network does not answer as a detector: {error}."
        return None, check("outputs", "refused", sentence, {"found": [*logits.shape]})
    broken = int((~logits.isfinite()).flatten(1).any(1).sum())
    evidence: dict[str, JsonValue] = {"broken": broken, "images": len(images), "candidates": logits.shape[2]}
    if broken:
        sentence = f"The network returns NaN or infinity for {broken} of {len(images)} images."
        return None, check("outputs", "refused", sentence, evidence)
    sentence = f"The network returns {logits.shape[2]} candidates for objects in every image, all numbers finite."
    return checks.forward(subject, images), check("outputs", "ok", sentence, evidence)


def _outputs(subject: Subject, images: Tensor) -> tuple[Tensor | None, Check]:
    """Return the logits, or None and the reason why they cannot be used."""
    names = subject.task.classes
    try:
        logits = checks.forward(subject.module, subject.prepare(images))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, InputError) as error:
        shape = list(images.shape[1:])
        told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        sentence = f"The network cannot be fed these images (channel and space {shape}): {told}"
        return None, check("outputs", "refused", sentence, {"image": [*shape]})
    shape = list(logits.shape)
    if subject.task.boxes:
        return _candidates(subject, images, logits)
    if shape != subject.task.shape(images):
        sentence = (
            f"The network must return one number for each of the {len(names)} classes ({', '.join(names[:5])}), "
            f"got shape {shape} for {len(images)} images."
        )
        return None, check("outputs", "refused", sentence, {"found": [*shape], "classes": len(names)})
    broken = int((~logits.isfinite()).flatten(1).any(1).sum())
    if broken:
        sentence = f"The network returns NaN or infinity for {broken} of {len(images)} images."
        return None, check("outputs", "refused", sentence, {"broken": broken, "images": len(images)})
    sentence = f"The network returns {len(names)} finite numbers for every image."
    return logits, check("outputs", "ok", sentence, {"outputs": len(names), "images": len(images)})
