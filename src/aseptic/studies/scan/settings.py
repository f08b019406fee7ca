"""What a scan is asked to do, with every default in one place."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aseptic.core.errors import InputError
from aseptic.poisoning.plan import PoisonPlan

Options = dict[str, dict[str, Any]]
"""Name of a scanner to the search settings that differ from its defaults."""


def check_power(power: float) -> None:
    """Refuse a power that is no share.

    Raises:
        InputError: It is outside (0, 1].
    """
    if not 0 < power <= 1:
        raise InputError(f"power must lie in (0, 1], got {power!r}")


class Judging(BaseModel):
    """When something counts as infected; shared by scans of models and of training sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scanners: Options | None = Field(
        default=None, description="Scanners by name with their settings; null for all that can serve."
    )
    rate: float = Field(default=0.05, description="Share of clean models or sets that may be called infected.")
    shown: int = Field(default=8, ge=0, description="Pictures of each scanner in the report.")
    seed: int = Field(default=0, ge=0, description="Root seed.")

    @model_validator(mode="after")
    def _check_rate(self) -> "Judging":
        if not 0 < self.rate <= 0.5:  # noqa: PLR2004 - a coin is no scanner
            raise InputError(f"rate must lie in (0, 0.5], got {self.rate!r}")
        if self.scanners is not None and not self.scanners:
            raise InputError("scanners must name at least one scanner, got none")
        return self


class ScanSettings(Judging):
    """Settings of `aseptic.studies.scan.model.scan_model`; written to ``config.yaml`` with every default."""

    power: float = Field(
        default=0.8, description="Least share of infected twins that must be found before a model can be clean."
    )
    images: int = Field(default=64, ge=1, description="Images that models are scanned with, at most.")
    split: str = Field(default="test", description="Split of the images that a model and its twins are scanned with.")
    twins: int = Field(default=0, ge=0, description="Clean twins that are trained.")
    infected: int = Field(default=0, ge=0, description="Infected twins of each kind that are trained.")
    plans: dict[str, PoisonPlan] = Field(
        default={}, description="Kind of backdoor to the plan by which infected twins are poisoned."
    )

    @model_validator(mode="after")
    def _check(self) -> "ScanSettings":
        check_power(self.power)
        if bool(self.infected) != bool(self.plans):
            raise InputError("infected twins must come with a trigger or plan that infects them, and it with them")
        if self.plans and not self.twins:
            raise InputError("infected twins must come with clean ones (--twins), got none")
        return self


class SetScanSettings(Judging):
    """Settings of `aseptic.studies.scan.sets.scan_set`; written to ``config.yaml`` with every default."""

    shown: int = Field(default=12, ge=0, description="Suspicious images of each scanner in the report.")
    draws: int = Field(default=99, ge=1, description="Permutations of the labels that a set is compared with.")
    parts: int = Field(
        default=99, ge=1, description="Parts of clean sets that a set is compared with, if there are any."
    )
    plans: dict[str, PoisonPlan] = Field(
        default={}, description="Kind of poison to the plan by which parts of clean sets are poisoned."
    )
    infected: int = Field(default=20, ge=1, description="Poisoned parts of each kind.")
    power: float = Field(
        default=0.8, description="Least share of poisoned parts that must be found before a set can be clean."
    )
    batch_size: int = Field(default=32, ge=1, description="Images in one forward pass.")

    @model_validator(mode="after")
    def _check_power(self) -> "SetScanSettings":
        check_power(self.power)
        return self
