"""Traps: where the authors' released code and a sensible reading part, with both numbers side by side."""

from dataclasses import dataclass

from aseptic.core.errors import ContractError


@dataclass(frozen=True, kw_only=True)
class Trap:
    """One trap, run both ways; or, where it is not a number, what was done about it.

    Raises:
        ContractError: It has neither both findings nor a sentence.
    """

    number: str
    """Its number in PROTOCOLS.md: ``1g-2``."""
    words: str
    """The trap in one sentence."""
    released: str = ""
    """Id of the finding as the released code computes it."""
    corrected: str = ""
    """Id of the finding as it should be computed."""
    done: str = ""
    """What this study does about it, where there is no number or where the numbers need a word."""

    def __post_init__(self) -> None:
        """Refuse half a pair."""
        if bool(self.released) != bool(self.corrected) or not (self.released or self.done):
            raise ContractError(
                f"trap {self.number} must name a finding as released and one corrected, or say what was done; got "
                f"{self.released!r}, {self.corrected!r} and {self.done!r}"
            )
