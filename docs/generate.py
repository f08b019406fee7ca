"""Writes the pages of the reference that follow from the code: modules, commands, and the schema of results.json."""

import json
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

import aseptic
from aseptic.attacks.catalogue import ATTACKS
from aseptic.cli.main import app
from aseptic.core.record import SCHEMA_VERSION, results_schema

WIDTH = 100
"""Characters in a line of a command's help."""
EXIT_CODES = "[exit codes](../../how-to/ci-gate.md#exit-codes)"
SINGLE = re.compile(r"(?<!`)`(?!`)")
"""A backtick that stands alone."""
PAPER = re.compile(r"https://[\w./:-]+[\w/]")
"""Address of a paper in a docstring."""
NOT_PUBLIC = frozenset({"aseptic.cli", "aseptic.__main__"})
"""Documented as commands, not as modules."""


def write(folder: Path) -> None:
    """Write every page into ``folder``; a page that is as it should be is left alone, and any other is removed."""
    pages = {
        "python.rst": python_page(),
        "cli.md": cli_page(),
        "results.md": results_page(),
        "attacks.md": attacks_page(),
    }
    pages |= {f"{name}.rst": package_page(name) for name in packages()}
    folder.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for path in folder.iterdir()} - set(pages):
        (folder / stale).unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def packages() -> list[str]:
    """Return the names of the packages below ``aseptic`` that are documented."""
    found = [one.name for one in pkgutil.walk_packages(aseptic.__path__, "aseptic.") if one.ispkg]
    return sorted(name for name in found if not name.startswith(tuple(NOT_PUBLIC)))


def modules(package: str) -> list[str]:
    """Return the names of the modules of one package, itself first."""
    inner = pkgutil.iter_modules(import_module(package).__path__, f"{package}.")
    return [package, *sorted(one.name for one in inner if not one.ispkg)]


def python_page() -> str:
    """Return the page of the names in ``import aseptic``, with links to where they are documented."""
    lines = [*_title("Python: public names"), ".. automodule:: aseptic", "   :no-members:", ""]
    lines += [".. list-table::", "   :header-rows: 1", "", "   * - name", "     - what it is"]
    for name in aseptic.__all__:
        if name.startswith("_"):
            continue
        found = getattr(aseptic, name)
        role = "mod" if isinstance(found, ModuleType) else "class" if isinstance(found, type) else "func"
        target = found.__name__ if isinstance(found, ModuleType) else f"{found.__module__}.{name}"
        lines += [
            f"   * - :py:{role}:`aseptic.{name} <{target}>`",
            f"     - {SINGLE.sub('``', (found.__doc__ or '').splitlines()[0])}",
        ]
    lines += ["", *_title("Packages", "-"), ".. toctree::", "   :maxdepth: 1", "", *(f"   {one}" for one in packages())]
    return "\n".join(lines) + "\n"


def package_page(package: str) -> str:
    """Return the page of one package: a section for each module."""
    lines = _title(package)
    for name in modules(package):
        if name != package:
            lines += _title(name.removeprefix(f"{package}."), "-")
        lines += [f".. automodule:: {name}", *(["   :no-members:"] if name == package else []), ""]
    return "\n".join(lines)


def cli_page() -> str:
    """Return the page of the commands: what ``--help`` prints for each."""
    root: Any = typer.main.get_command(app)
    lines = ["# Commands", "", f"What `aseptic COMMAND --help` prints; what the exit codes mean is under {EXIT_CODES}."]
    top = root.context_class(root, info_name="aseptic", terminal_width=WIDTH)
    lines += ["", *_help(root, top)]
    for name, command in root.commands.items():
        lines += _command(name, command, top, "##")
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any, parent: Any, mark: str) -> list[str]:  # noqa: ANN401 - typer's own classes
    """Return the section of a command, and below it those of its own commands."""
    inside = command.context_class(command, info_name=name, parent=parent, terminal_width=WIDTH)
    lines = ["", f"{mark} {inside.command_path}", "", *_help(command, inside)]
    for inner, one in getattr(command, "commands", {}).items():
        lines += _command(inner, one, inside, f"{mark}#")
    return lines


def _help(command: Any, context: Any) -> list[str]:  # noqa: ANN401 - typer's own classes of click
    return ["```text", command.get_help(context).rstrip(), "```"]


def attacks_page() -> str:
    """Return the table of the attacks: what each needs to see, and what it serves."""
    lines = [
        "# Attacks",
        "",
        "What `aseptic list attacks` names. Search settings and blind spots are on each one's page.",
        "",
    ]
    lines += ["| name | class | needs | norms | tasks | paper |", "|---|---|---|---|---|---|"]
    for name in ATTACKS.names():
        kind = ATTACKS.load(name)
        papers = ", ".join(f"<{link}>" for link in dict.fromkeys(PAPER.findall(kind.__doc__ or "")))
        link = f"[{kind.__name__}](#{kind.__module__}.{kind.__name__})"
        lines.append(
            f"| `{name}` | {link} | {kind.needs} | {', '.join(kind.norms)} | {', '.join(kind.tasks)} | {papers} |"
        )
    return "\n".join(lines) + "\n"


def results_page() -> str:
    """Return the page of ``results.json``: its fields as tables, and the schema."""
    schema = json.loads(results_schema())
    lines = ["# results.json", "", f"Everything that a run found, as JSON of schema version {SCHEMA_VERSION}.", ""]
    lines += list(_fields(schema))
    for name, part in schema["$defs"].items():
        lines += ["", f"## {name}", "", part.get("description", ""), "", *_fields(part)]
    lines += ["", "## Ids of findings", "", *IDS, "", "## JSON schema", "", "```json", results_schema().rstrip(), "```"]
    return "\n".join(lines) + "\n"


IDS: Sequence[str] = (
    "An id is a section, a dot, and what was measured; `@` stands before the budget in levels of 255, and `:` before a",
    "class. `results.json` of a run lists all of them.",
    "",
    "| id | example |",
    "|---|---|",
    "| `verdict` | `verdict` |",
    "| `preflight.CHECK` | `preflight.scale` |",
    "| `clean.METRIC` or `clean.METRIC:CLASS` | `clean.accuracy`, `clean.auroc:normal` |",
    "| `curve.ATTACK.METRIC@BUDGET` | `curve.pgd.accuracy@2`, `curve.worst.turned@2` |",
    "| `probe.ATTACK.METRIC@BUDGET` | `probe.square.turned@2`, `probe.apgd-t.only@2`, `probe.segpgd.dice@2` |",
    "| `doubt.NAME@BUDGET` | `doubt.masked@2` |",
    "| `class.ATTACK.METRIC:CLASS@BUDGET` | `class.pgd.dice:kidney@2`, `class.worst.missed:tumour@2` |",
    "| `noise.METRIC@BUDGET` | `noise.accuracy_drop@2` |",
    "| `damage.CLASS@BUDGET` | `damage.normal@2` |",
    "| `storage.8bit@BUDGET` or `storage.native@BUDGET` | `storage.8bit@2` |",
    "| `drift.MAP.METRIC@BUDGET` | `drift.gradcam.rank_correlation@2` |",
    "| `cost.ATTACK` | `cost.pgd` |",
    "| `scan.SCANNER.METRIC` or `scan.SCANNER.METRIC:OUTPUT` | `scan.mm-bd.p_value`, `scan.mm-bd.score:nevus` |",
    "| `claim.ID` and `trap.NUMBER` of a study | `claim.clean`, `trap.1g-2` |",
)


def _fields(part: Mapping[str, Any]) -> Iterator[str]:
    yield from ("| field | type | meaning |", "|---|---|---|")
    for name, field in part["properties"].items():
        yield f"| `{name}` | {_type(field)} | {field.get('description', '')} |"


def _type(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    return str(field.get("type", "any"))


def _title(text: str, mark: str = "=") -> list[str]:
    return [text, mark * len(text), ""]
