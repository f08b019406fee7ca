"""What the page of a study is made from besides findings: it stands in ``results.json`` under ``config.study``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Verdict = Literal["held", "not held", "not testable"]
"""How a claim ends; ``not testable`` means on this data, at this scale."""
VERDICTS: tuple[Verdict, ...] = ("held", "not held", "not testable")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dot(_Strict):
    """One point of a line: where it stands, and the finding that says how high, with its interval."""

    across: float = Field(description="Place on the horizontal axis.")
    finding: str = Field(description="Id of the finding.")


class Line(_Strict):
    """One line of a chart."""

    label: str = Field(description="Name in the legend.")
    dots: tuple[Dot, ...] = Field(description="Points; one whose finding is missing is left out.")


class Chart(_Strict):
    """A line chart. It holds no numbers: what is drawn is what the findings say."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name of its file below ``figures/``.")
    title: str = Field(description="What is drawn.")
    across: str = Field(description="Name of the horizontal axis, with its unit.")
    lines: tuple[Line, ...] = Field(description="One to five lines.", min_length=1, max_length=5)
    axis: Literal["linear", "doubling"] = Field(
        default="linear", description="``doubling``: logarithmic, and 0 has a first place of its own."
    )
    caption: str = Field(default="", description="What a reader should see in it, in one sentence.")


class Column(_Strict):
    """One column of a grid."""

    label: str = Field(description="Its heading.")
    group: str = Field(description="Heading above it; columns next to each other with the same one share it.")


class Square(_Strict):
    """One place of a grid: the finding that is shown, and from where on it is bad news."""

    finding: str = Field(description="Id of the finding.")
    limit: float | None = Field(default=None, description="Where good ends and bad begins; null for neither.")
    bad: Literal["above", "below"] = Field(
        default="above", description="``above``: bad from the limit on; ``below``: bad until shortly before it."
    )
    needs: str | None = Field(
        default=None, description="Id of a finding without whose number nothing is called good or bad."
    )


class GridRow(_Strict):
    """One row of a grid."""

    label: str = Field(description="Its heading.")
    squares: tuple[Square | None, ...] = Field(description="One for each column; null stays empty.")


class Grid(_Strict):
    """A table of many rows and columns. It holds no numbers: what is shown is what the findings say."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Its name.")
    title: str = Field(description="What is shown.")
    columns: tuple[Column, ...] = Field(description="Columns.", min_length=1)
    rows: tuple[GridRow, ...] = Field(description="Rows.")
    good: str = Field(description="What a number on the good side of its limit means, in a few words.")
    bad: str = Field(description="What one on the bad side means.")
    caption: str = Field(default="", description="How to read it.")

    @model_validator(mode="after")
    def _whole(self) -> "Grid":
        for row in self.rows:
            if len(row.squares) != len(self.columns):
                raise ValueError(
                    f"row {row.label} of grid {self.name} must have a place for each of {len(self.columns)} columns, "
                    f"got {len(row.squares)}"
                )
        return self


class Shown(_Strict):
    """A picture that a cell drew."""

    file: str = Field(description="Path of the PNG in the run folder.")
    alt: str = Field(description="The picture in words.")
    caption: str = Field(description="What it shows.")


class Card(_Strict):
    """What a study declares of itself, at the scale of the run."""

    name: str = Field(description="Name of the study.")
    title: str = Field(description="Authors, title and year of the paper.")
    paper: str = Field(pattern=r"^https://\S+$", description="Address of the paper.")
    departures: tuple[str, ...] = Field(description="How this run departs from the paper, one sentence each.")
    groups: dict[str, str] = Field(
        default_factory=dict, description="First part of the ids of findings to the heading of their table."
    )
    charts: tuple[Chart, ...] = ()
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Shown, ...] = ()
