"""What an audit is asked to do, with every default in one place."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aseptic.core.errors import InputError
from aseptic.metrics.dense_infection import BoxHit
from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.scan.settings import ScanSettings

GREY = 1 / 255
"""One grey level of an 8-bit image, in image units."""

ATTACKS = ("fgsm", "pgd")


class AuditSettings(BaseModel):
    """Settings of `aseptic.studies.audit.run.audit`; written to ``config.yaml`` with every default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attacks: tuple[str, ...] = Field(default=ATTACKS, description="Attacks by name, weakest first.")
    probes: tuple[str, ...] = Field(
        default=(),
        description="Further attacks, at the reference budget only; one that does not fit is skipped.",
    )
    queries: int = Field(
        default=500, ge=1, description="Questions about one image that an attack without gradients may ask."
    )
    grey_levels: tuple[float, ...] = Field(
        default=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0), description="Budgets of the security curve, in levels of 255."
    )
    reference: float = Field(default=2.0, description="Budget that the verdict is about, in levels of 255.")
    goal: str = Field(default="untargeted", description="What the attacker wants, as parse_goal reads it.")
    steps: int = Field(default=20, ge=1, description="Gradient steps of PGD, SegPGD and CosPGD.")
    chunk: int = Field(default=32, ge=1, description="Images in one cell: what a kill can lose.")
    batch_size: int = Field(default=32, ge=1, description="Images in one forward pass.")
    draws: int = Field(default=1000, ge=100, description="Bootstrap draws behind each interval.")
    explained: int = Field(default=64, ge=0, description="Images whose saliency is compared, clean against attacked.")
    examples: int = Field(default=6, ge=0, description="Images shown in the report.")
    plan: PoisonPlan | None = Field(
        default=None,
        description="A suspected trigger and what it is for; which images a plan would poison plays no part.",
    )
    scan: ScanSettings | None = Field(
        default=None, description="How the model is scanned for backdoors that nobody has named; null for not at all."
    )
    overlap: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Overlap from which a detection is one of an object, for a suspected trigger.",
    )
    confidence: float = Field(
        default=0.5, ge=0, le=1, description="Score from which a detection counts, for a suspected trigger."
    )
    seed: int = Field(default=0, ge=0, description="Root seed.")

    @model_validator(mode="after")
    def _check(self) -> "AuditSettings":
        if (
            not self.grey_levels
            or min(self.grey_levels) <= 0
            or list(self.grey_levels) != sorted(set(self.grey_levels))
        ):
            raise InputError(f"eps must be distinct, rising and above 0, got {list(self.grey_levels)} grey levels")
        if self.reference not in self.grey_levels:
            raise InputError(f"the reference budget must be one of {list(self.grey_levels)}, got {self.reference}")
        if not self.attacks:
            raise InputError("attacks must name at least one attack, got none")
        if len(set(self.methods)) < len(self.methods):
            raise InputError(f"attacks must be named once each, got {', '.join(self.methods)}")
        if self.scan is not None and self.scan.twins:
            raise InputError(
                f"an audit trains no twins, got {self.scan.twins}: `aseptic scan` does, and --null takes what it writes"
            )
        return self

    @property
    def hit(self) -> BoxHit:
        """When a detection is one of an object, where a suspected trigger is tried on a detector."""
        return BoxHit(overlap=self.overlap, confidence=self.confidence)

    @property
    def methods(self) -> tuple[str, ...]:
        """All attacks, those of the curve first."""
        return (*self.attacks, *self.probes)

    def levels(self, name: str) -> tuple[float, ...]:
        """Return the budgets that an attack is run at."""
        return (self.reference,) if name in self.probes else self.grey_levels

    @property
    def strongest(self) -> str:
        """The last attack named: the one whose perturbation is shuffled for the noise control and explained."""
        return self.attacks[-1]
