"""One explanation of clean images and of their attacked copies, side by side."""

from dataclasses import dataclass

from aseptic.core.types import Images
from aseptic.explain.base import Explainer, Maps, Outputs, decided
from aseptic.explain.drift import Drift, drift
from aseptic.models.subject import Subject


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Maps of the clean and of the attacked images, and how far they lie apart.

    Two questions are kept apart. *Decided*: what each decision rests on, so that after a successful attack two
    different outputs are compared. *Same*: what speaks for the clean decision, in both images.
    """

    clean: Maps
    """Clean image, explained for the clean decision."""
    attacked: Maps
    """Attacked image, explained for the attacked decision."""
    attacked_same: Maps
    """Attacked image, explained for the clean decision."""
    clean_outputs: Outputs
    """Output that the clean decision rests on."""
    attacked_outputs: Outputs
    """Output that the attacked decision rests on."""
    drift_decided: Drift
    """From ``clean`` to ``attacked``."""
    drift_same: Drift
    """From ``clean`` to ``attacked_same``."""


def compare(
    subject: Subject, clean: Images, attacked: Images, explain: Explainer, *, batch_size: int = 32
) -> Comparison:
    """Explain both sets of images with `saliency`, `gradcam` or any other explainer.

    Raises:
        InputError: The images cannot be explained, or are not as many on both sides.
        ContractError: The model was changed.
    """
    before = decided(subject, clean, batch_size=batch_size)
    after = decided(subject, attacked, batch_size=batch_size)
    clean_maps = explain(subject, clean, before, batch_size=batch_size)
    attacked_maps = explain(subject, attacked, after, batch_size=batch_size)
    same_maps, moved = attacked_maps.clone(), before != after
    if moved.any():
        same_maps[moved] = explain(subject, attacked[moved], before[moved], batch_size=batch_size)
    return Comparison(
        clean=clean_maps,
        attacked=attacked_maps,
        attacked_same=same_maps,
        clean_outputs=before,
        attacked_outputs=after,
        drift_decided=drift(clean_maps, attacked_maps),
        drift_same=drift(clean_maps, same_maps),
    )
