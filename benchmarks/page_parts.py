"""What the sections of docs/benchmarks/index.md are made of."""

from typing import Any


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def share(found: dict[str, Any] | None) -> str:
    """Return a value with its interval."""
    if not found or found["value"] is None:
        return "-"
    if found["ci_low"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} ({found['ci_low']:.3f} to {found['ci_high']:.3f})"
