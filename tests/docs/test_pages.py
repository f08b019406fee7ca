"""The pages are built without a warning, their links lead somewhere, and their tables agree with the code."""

import csv
import importlib
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from aseptic.cli.gates import SEVERITIES
from aseptic.cli.main import BAD_INPUT, BROKEN, INTERRUPTED, app
from aseptic.data.phantoms import PHANTOMS, draw
from aseptic.models.preflight import CHECKS
from aseptic.studies.audit.verdict import LIMITS, WORDS
from aseptic.studies.infection.measure import GRAVE
from aseptic.studies.infection.telling import NO_SIGN
from aseptic.triggers import TRIGGERS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if not {"_build", "generated"} & set(page.parts)]
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
FENCED = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def anchors(page):
    """Return the anchors of the headings of a page, as Sphinx and GitHub name them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(page):
    broken = []
    for target in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        name, _, anchor = target.partition("#")
        if "://" in name or "generated/" in name or (not name and anchor.startswith("aseptic.")):
            continue  # the network, and what the build of the pages checks
        found = (page.parent / name).resolve() if name else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert not broken, f"{page.relative_to(ROOT)} links to {broken}"


def test_the_readme_links_to_every_kind_of_page():
    """A page that nobody can reach from the front is not there."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {one for one in ("tutorial/", "how-to/", "explanation/") if f"docs/{one}" not in readme} == set()


def test_every_page_is_in_the_contents():
    index = (DOCS / "index.md").read_text("utf-8")
    listed = {f"{line}.md" for line in re.findall(r"^[\w-]+/[\w/-]+$", index, re.MULTILINE)}
    index = (DOCS / "studies" / "index.md").read_text("utf-8")
    listed |= {f"studies/{line}.md" for line in re.findall(r"^\w+/study$", index, re.MULTILINE)}
    assert {str(page.relative_to(DOCS)) for page in PAGES} - {"index.md"} <= listed


def test_the_limits_of_the_verdict_are_those_of_the_code():
    rows = [f"| {100 * limit:g} % | {severity} | {WORDS[severity]} |" for limit, severity in LIMITS]
    assert "\n".join(rows) in (DOCS / "explanation" / "numbers.md").read_text("utf-8")


def test_the_limits_of_a_suspected_trigger_are_those_of_the_code():
    rows = [f"| {100 * limit:g} points | {severity} |" for limit, severity in GRAVE]
    text = (DOCS / "explanation" / "numbers.md").read_text("utf-8")
    assert "\n".join(rows) in text
    assert f"the upper end is at most {100 * NO_SIGN:g} points" in " ".join(text.split())


def test_every_check_before_an_audit_is_explained():
    named = {check.__name__ for check in CHECKS} - {"raw_logits"} | {"logits", "train_mode", "range", "outputs"}
    text = (DOCS / "explanation" / "numbers.md").read_text("utf-8")
    assert {name for name in named if f"`{name}`" not in text} == set()


def test_every_phantom_has_its_picture_on_the_page():
    text = (DOCS / "explanation" / "phantoms.md").read_text("utf-8")
    assert {name for name in PHANTOMS.names() if f"images/phantom_{name}.png" not in text} == set()


@pytest.mark.parametrize("name", TRIGGERS.names())
def test_every_trigger_is_on_the_page_with_its_settings(name):
    text = (DOCS / "how-to" / "triggers.md").read_text("utf-8")
    line = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
    assert set(re.findall(r"`(\w+)`", line.split("|")[3])) == {field.name for field in fields(TRIGGERS.load(name))}


def test_the_sheets_of_triggers_are_complete_and_small():
    text = (DOCS / "explanation" / "triggers-in-pictures.md").read_text("utf-8")
    with (DOCS / "explanation" / "triggers.csv").open(encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert {re.split("[:`]", row[0])[1] for row in rows} == set(TRIGGERS.names())
    assert set(head[1:]) == set(PHANTOMS.names()) - {"cxr3"}, "drawn by the code of cxr"
    for phantom in head[1:]:
        assert f"images/triggers_{phantom}.png" in text
        assert (DOCS / "images" / f"triggers_{phantom}.png").stat().st_size <= 350_000


def test_the_table_of_triggers_is_what_is_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    drawn = importlib.import_module("make_triggers")
    with (DOCS / "explanation" / "triggers.csv").open(encoding="utf-8") as file:
        table = {row["trigger"].strip("`"): row for row in csv.DictReader(file)}
    assert tuple(table) == drawn.TRIGGERS
    for phantom, names in {"derm": ("patch:size=8,value=1", "fiba"), "kidney": ("dot",)}.items():
        images = draw(phantom, drawn.MANY, size=drawn.CELL, seed=drawn.SEED).images
        for name in names:
            found, stored = drawn.visible(images, name), table[name][phantom]
            assert found == stored or float(found) == pytest.approx(float(stored), abs=0.11)


def test_severities_and_exit_codes_are_those_of_the_code():
    text = (DOCS / "how-to" / "ci-gate.md").read_text("utf-8")
    codes = set(map(int, re.findall(r"^\| (\d+) \|", text, re.MULTILINE)))
    assert codes == {0, 1, BAD_INPUT, BROKEN, INTERRUPTED}
    assert all(f"`{name}`" in text for name in SEVERITIES)


def test_options_on_the_pages_exist():
    """An option that was renamed would live on in the text."""
    commands = list(typer.main.get_command(app).commands.values())
    for one in commands:
        commands.extend(getattr(one, "commands", {}).values())
    fields = [field for one in commands for field in one.params]
    known = {name for field in fields for name in (*field.opts, *field.secondary_opts)}
    pages = [ROOT / "README.md", *PAGES]
    lines = [line for page in pages for line in page.read_text("utf-8").splitlines() if "pip" not in line]
    used = {option for line in lines for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)}
    assert used <= known | {"--help", "--version"}


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
