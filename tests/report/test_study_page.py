"""The pages of a study: nothing lost, nothing loaded, verdicts and pairs where they belong, no paths in Markdown."""

import json
import math
import re
from importlib.resources import files
from itertools import pairwise

import fake_run
import fake_study
import jsonschema
import pytest
from pydantic import ValidationError
from reading import read

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate
from aseptic.core.record import finding, read_results, write_results
from aseptic.report import build
from aseptic.report.charts import _ticks
from aseptic.report.study.card import Chart, Column, Dot, Grid, GridRow, Line, Square
from aseptic.report.study.content import read_content
from aseptic.report.study.grids import _side, tables_of
from aseptic.report.study.markdown import escape


@pytest.fixture(scope="module")
def page(pages):
    return pages["study"]


@pytest.fixture(scope="module")
def notes(page):
    return (page.parent / "study.md").read_text(encoding="utf-8")


def words(text):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def article(page, name):
    """Return the text of the article of one finding."""
    text = page.read_text(encoding="utf-8")
    return words(re.search(rf'<article[^>]*data-finding="{name}".*?</article>', text, flags=re.DOTALL).group())


def test_is_one_balanced_page_with_unique_ids_and_ordered_headings(page):
    found = read(page)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    fragments = [value[1:] for value in found.values("href") if value.startswith("#")]
    assert set(fragments) | set(found.values("aria-labelledby")) <= set(ids)
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_loads_nothing_and_links_to_the_paper_alone(page):
    found = read(page)
    assert {value for value in found.values("href") if not value.startswith("#")} == {
        "https://arxiv.org/abs/2101.00000"
    }
    assert all(value.startswith("data:image/png;base64,") for value in found.values("src"))
    assert not {tag for tag, _ in found.tags} & {"link", "iframe", "object", "embed", "base"}
    assert page.read_text(encoding="utf-8").count("<script") == 1


def test_nothing_in_the_record_is_lost(page, notes):
    found, results = read(page), read_results(page.parent)
    assert {one.id for one in results.findings} <= set(found.values("data-finding"))
    assert {gap.id for gap in (*results.skipped, *results.failed)} == set(found.values("data-gap"))
    numbers = [one.id for one in results.findings if not one.id.startswith(("claim.", "trap."))]
    assert all(notes.count(f"| `{name}` |") == 1 for name in numbers)
    said = " ".join(found.text)
    for one in results.findings[:7]:
        assert one.title in said
        assert escape(one.title) in notes
    assert all(gap.reason in said and gap.reason in notes for gap in (*results.skipped, *results.failed))
    assert all(line in said and line in notes for line in fake_study.card().departures)


def test_the_outcome_is_counted(page, notes):
    assert "1 of 4 claims held, 1 not held, 2 not testable" in " ".join(read(page).text)
    assert "**1 of 4 claims held, 1 not held, 2 not testable.**" in notes
    assert 'class="verdict medium"' in page.read_text(encoding="utf-8")


def test_a_claim_shows_what_was_published_beside_what_was_measured(page, notes):
    held = article(page, "claim.clean")
    assert "held “up to 0.85 AUROC on clean images” abstract [PAPER abstract]" in held
    assert "Published 0.85 Measured 0.850 0.810 to 0.890 n = 300 Must be at least 0.8" in held
    assert "Why: the interval [0.81, 0.9] lies at or above 0.8." in held
    assert "Published 100 % Measured" in article(page, "claim.infected"), "in the unit of what it is compared with"
    assert "Published none, or not available Measured not measured" in article(page, "claim.small")
    assert "not testable on this data" in article(page, "claim.small")
    assert "corrected.hit 88.0 % 84.3 to 91.7 % n = 300 released.hit 31.0 %" in article(page, "claim.localised")
    assert (
        "| **held** | “up to 0.85 AUROC on clean images” (abstract \\[PAPER abstract\\]) | 0.85 | 0.850 (0.810" in notes
    )


def test_a_trap_shows_both_numbers_side_by_side(page, notes):
    both = article(page, "trap.1g-6")
    assert "As released 31.0 % 25.8 to 36.2 % n = 300 Corrected 88.0 % 84.3 to 91.7 % n = 300" in both
    assert "Both maps are of the same decision." in both
    assert "As released it needs train/s9, which was failed Corrected" in article(page, "trap.1g-1")
    assert "As released" not in article(page, "trap.1g-5")
    assert "They are drawn at random." in article(page, "trap.1g-5")
    assert "| 31.0 % (25.8 to 36.2 %, n = 300) | 88.0 % (84.3 to 91.7 %, n = 300) | Both maps are" in notes
    assert "|  |  | They are drawn at random. |" in notes


def test_long_tables_are_folded_and_groups_have_their_titles(page, notes):
    text = page.read_text(encoding="utf-8")
    assert '<details class="data">\n<summary>Attack success rate (48)</summary>' in text
    assert '<details class="data" open>\n<summary>Auroc (8)</summary>' in text
    assert notes.index("### Attack success rate") < notes.index("### Auroc") < notes.index("## Data")


def test_charts_are_drawn_from_the_findings_that_they_name(page):
    names = {path.name for path in (page.parent / "figures").glob("*.svg")}
    assert names == {"asr.svg", "auroc.svg", "lost.svg"}, "a chart of nothing is left out"
    labels = [value for value in read(page).values("aria-label") if value.startswith("Micro AUROC lost against")]
    assert labels == [f"Micro AUROC lost against {fake_study.RATE}. Lost: \u22120.210 at 10; Other: not measured."]
    assert "Larger is easier." in " ".join(read(page).text)
    assert "picture not stored" in " ".join(read(page).text)


def test_markdown_gives_the_command_without_paths(page, notes):
    assert "aseptic study run example2021 --scale desk --data nih14=PATH --seed 7 --out RUN" in notes
    assert "/home" not in notes
    assert "nih14=/home/somebody/nih" in " ".join(read(page).text), "the page itself says what was typed"


def test_markdown_keeps_names_from_being_mark_up(notes):
    assert notes.startswith("# First, Second and Third, “Explaining \\<b\\>backdoors\\</b\\> \\| a study” (2021)\n")
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in notes.splitlines() if line.startswith("|")]
    heads = [len(re.findall(r"(?<!\\)\|", line)) for line in notes.splitlines() if set(line) == set("| -")]
    assert set(widths) == set(heads)


def test_record_fits_the_schema_and_pages_are_made_again_the_same(page):
    folder = page.parent
    schema = json.loads(files("aseptic.core").joinpath("results.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads((folder / "results.json").read_text(encoding="utf-8")), schema)
    kept = {path: path.read_bytes() for path in (page, folder / "study.md", *folder.glob("figures/*.svg"))}
    for path in kept:
        path.unlink()
    assert build(folder) == page
    assert {path: path.read_bytes() for path in kept} == kept


def test_phantoms_are_announced_in_both_pages(tmp_path, page, notes):
    assert "phantom" not in read(page).values("class")
    assert "Phantom" not in notes
    folder = fake_study.study(tmp_path)
    results = read_results(folder)
    drawn = fake_run.record([], ("a",), "multiclass", phantom=True).data
    write_results(results.model_copy(update={"data": {"drawn": drawn}}), folder)
    assert "phantom" in read(build(folder)).values("class")
    said = (folder / "study.md").read_text(encoding="utf-8")
    assert "> Phantom data: phantom:cxr is drawn by a program from a seed; it shows no patient.\n> Every number" in said
    mixed = {"drawn": drawn, "test": results.data["test"]}
    write_results(results.model_copy(update={"data": mixed}), folder)
    build(folder)
    for name in ("report.html", "study.md"):
        said = (folder / name).read_text(encoding="utf-8")
        assert "What was measured on drawn says nothing about patients; the other images are real." in said
        assert "Every number on this page" not in said


def test_a_study_without_anything_still_has_its_pages(tmp_path):
    folder = fake_study.study(tmp_path)
    results = read_results(folder)
    bare = {
        **results.config,
        "study": {**results.config["study"], "departures": [], "charts": [], "grids": [], "pictures": []},
    }
    left = {"findings": [], "skipped": [], "failed": [], "data": {}, "command": [], "config": bare}
    write_results(results.model_copy(update=left), folder)
    (folder / "config.yaml").unlink()
    said = words(build(folder).read_text(encoding="utf-8"))
    for wanted in ("No claims", "The study judges no claims.", "Nothing was measured", "uses no images", "In nothing"):
        assert wanted in said
    assert "aseptic study run example2021 --scale desk" in said


def test_a_broken_card_is_refused(tmp_path):
    folder = fake_study.study(tmp_path)
    results = read_results(folder)
    hostile = {**results.config["study"], "paper": "javascript:alert(1)"}
    write_results(results.model_copy(update={"config": {"study": hostile}}), folder)
    with pytest.raises(InputError, match=r"results\.json has no readable card of a study: paper: String should match"):
        build(folder)


def test_an_unknown_verdict_is_no_verdict(tmp_path):
    folder = fake_study.study(tmp_path)
    odd = [fake_study.claim("odd", "odd", "maybe", "so")]
    write_results(read_results(folder).model_copy(update={"findings": odd}), folder)
    assert [one.verdict for one in read_content(folder).claims] == ["not testable"]


@pytest.mark.parametrize(
    "change", [{"name": "../up"}, {"lines": ()}, {"lines": (Line(label="a", dots=()),) * 6}, {"axis": "cubic"}]
)
def test_a_chart_that_cannot_be_drawn_is_refused(change):
    good = {"name": "a", "title": "a", "across": "x", "lines": (Line(label="a", dots=(Dot(across=1, finding="b"),)),)}
    assert Chart.model_validate(good).axis == "linear"
    with pytest.raises(ValidationError):
        Chart.model_validate(good | change)


@pytest.mark.parametrize("places", [[0.0, 1.0, 5.0, 10.0, 20.0, 40.0, 80.0, 100.0], [3.0], [0.0, 0.001, 1.0]])
def test_names_on_the_axis_keep_their_distance_and_the_ends_are_named(places):
    kept = _ticks({place: place for place in places})
    assert (kept[0], kept[-1]) == (min(places), max(places))
    assert all(b - a >= 0.06 * (max(places) - min(places)) for a, b in pairwise(kept))
    assert set(kept) <= set(places)


def test_a_chart_of_its_own_has_a_ground_and_stands_in_the_markdown(tmp_path):
    folder = fake_study.study(tmp_path)
    build(folder)
    said = (folder / "study.md").read_text(encoding="utf-8")
    charts = re.findall(r"!\[[^]]+\]\((.+?)\)", said)
    assert charts, "the example has some"
    for file in charts:
        assert "<rect" in (folder / file).read_text(encoding="utf-8").partition("<defs>")[0]
    assert '<rect width="100%"' not in (folder / "report.html").read_text(encoding="utf-8")


def table(page):
    return re.search(r'<table class="grid">.*?</table>', page.read_text(encoding="utf-8"), flags=re.DOTALL).group()


def test_a_grid_groups_its_columns_and_marks_the_sides_of_the_limit(page, notes):
    text = table(page)
    assert re.findall(r'colspan="(\d)">([^<]+)<', text) == [
        ("2", "Poisoned | little"),
        ("1", "Poisoned, much"),
        ("1", "Clean"),
    ]
    rows = [words(row) for row in re.findall(r"<tr><th.*?</tr>", text, flags=re.DOTALL)]
    assert [row.split()[:3] for row in rows] == [["1", "x", "1"], ["3", "x", "3"], ["9", "x", "9"]]
    assert "\u2713 7 4\u201310 fails" in rows[0], "a sign and a word, not a colour alone"
    assert "\u2715 87 84\u201391 works" in rows[0]
    assert rows[1].count("works") == 2
    assert "(\u2713) .85 .81\u2013.89 fails, but its interval contains the limit" in rows[1]
    assert rows[2].count("not measured") == 3
    assert 'class="bad" data-finding="asr.s1.p100"' in text.replace(" first", "")
    assert "Never measured" not in page.read_text(encoding="utf-8")
    assert "## Sizes and rates" in notes
    line = next(line for line in notes.splitlines() if line.startswith("| **1 x 1** |"))
    assert line == "| **1 x 1** | \u2713 7 (4\u201310) | \u2713 14 (10\u201317) | \u2715 87 (84\u201391) |  |"
    assert "few<br>(Poisoned \\| little)" in notes


def test_a_limit_belongs_to_its_side():
    """A number at the limit is bad where bad is above, and good where bad is below."""
    place = {one: _side(0.5, Square(finding="a", limit=0.5, bad=one)) for one in ("above", "below")}
    assert place == {"above": "bad", "below": "good"}
    assert _side(0.5, Square(finding="a")) == ""


def test_nothing_is_called_good_or_bad_without_what_that_needs():
    def told(name, value):
        return finding(
            name, "a", method="a", metric="auroc", estimate=Estimate(value=value, low=value, high=value, n=3)
        )

    grid = Grid(
        name="a",
        title="a",
        columns=(Column(label="a", group="a"),) * 3,
        rows=(GridRow(label="a", squares=tuple(Square(finding="a", limit=0.5, needs=one) for one in "bcd")),),
        good="good",
        bad="bad",
    )
    by_id = {"a": told("a", 0.9), "b": told("b", 0.0), "c": told("c", math.nan)}
    ((_, places),) = tables_of([grid], by_id)[0].rows
    assert [place.mark for place in places] == ["\u2715", "", ""]
    assert [place.value for place in places] == [".90"] * 3


def test_negative_ends_are_told_apart():
    found = finding(
        "a", "a", method="a", metric="accuracy_change", estimate=Estimate(value=-0.1, low=-0.2, high=-0.05, n=3)
    )
    grid = Grid(
        name="a",
        title="a",
        columns=(Column(label="a", group="a"),),
        rows=(GridRow(label="a", squares=(Square(finding="a"),)),),
        good="good",
        bad="bad",
    )
    ((_, (place,)),) = tables_of([grid], {"a": found})[0].rows
    assert (place.value, place.interval, place.mark, place.said) == ("\u221210", "\u221220 to \u22125", "", "")


def test_a_grid_with_a_row_too_short_is_refused():
    columns = (Column(label="a", group="a"), Column(label="b", group="a"))
    rows = (GridRow(label="odd", squares=(None,)),)
    with pytest.raises(ValidationError, match="row odd of grid x must have a place for each of 2 columns, got 1"):
        Grid(name="x", title="x", columns=columns, rows=rows, good="good", bad="bad")
