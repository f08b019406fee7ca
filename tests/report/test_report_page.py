"""The page as text: nothing lost, nothing loaded, nothing executed, the same bytes every time."""

import base64
import hashlib
import json
import re
from importlib.resources import files
from itertools import pairwise

import fake_pictures
import fake_run
import jsonschema
import pytest
from reading import read

from aseptic.core.errors import InputError
from aseptic.core.record import finding, read_results, write_results
from aseptic.report import build

KINDS = ("binary", "infected", "multilabel", "broken")
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }} $x^2$ & @4")


@pytest.mark.parametrize("kind", KINDS)
def test_is_one_balanced_page_with_unique_ids_and_ordered_headings(pages, kind):
    page = read(pages[kind])
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    fragments = [value[1:] for value in page.values("href") if value.startswith("#")]
    labels = [name for value in page.values("aria-labelledby") for name in value.split()]
    assert set(fragments) | set(labels) <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("kind", KINDS)
def test_loads_nothing(pages, kind):
    page = read(pages[kind])
    assert all(value.startswith("#") for value in page.values("href"))
    assert all(value.startswith("data:image/png;base64,") for value in page.values("src"))
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base"}
    text = pages[kind].read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_policy_allows_its_own_script_and_no_other(pages, kind):
    text = pages[kind].read_text(encoding="utf-8")
    policy = next(a["content"] for _, a in read(pages[kind]).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    script = re.search(r"<script>(.*?)</script>", text, flags=re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert text.count("<script") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_the_record_is_lost(pages, kind):
    page, results = read(pages[kind]), read_results(pages[kind].parent)
    assert {found.id for found in results.findings} <= set(page.values("data-finding"))
    assert {gap.id for gap in (*results.skipped, *results.failed)} == set(page.values("data-gap"))
    said = " ".join(page.text)
    for wanted in (
        *(gap.reason for gap in (*results.skipped, *results.failed)),
        *(item["reason"] for item in results.data["unreadable"]),
        results.model["sha256"],
        results.data["fingerprint"],
        "aseptic audit models/resnet18 --data cxr/labels.csv --out 'my run'",
    ):
        assert wanted in said


@pytest.mark.parametrize("kind", KINDS)
def test_record_fits_the_schema(pages, kind):
    schema = json.loads(files("aseptic.core").joinpath("results.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads((pages[kind].parent / "results.json").read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize("kind", KINDS)
def test_same_folder_gives_the_same_bytes(pages, kind):
    folder = pages[kind].parent
    kept = {path: path.read_bytes() for path in (folder / "report.html", *folder.glob("figures/*.svg"))}
    build(folder)
    assert {path: path.read_bytes() for path in kept} == kept


def test_charts_are_saved_beside_the_page(pages):
    names = {path.name for path in (pages["binary"].parent / "figures").glob("*.svg")}
    assert names == {f"curve-{name}.svg" for name in ("accuracy", "auroc_macro", "turned", "success")} | {
        "reliability.svg"
    }


def test_verdict_comes_before_evidence_and_limits_last(pages):
    ids = [value for value in read(pages["binary"]).values("id") if not value.startswith(("h-", "curve", "rel"))]
    order = ["verdict", "images", "attack", "clean", "checks", "gaps", "subject", "method", "limits", "reproduce"]
    assert [name for name in ids if name in order] == order


def test_failed_run_says_so_first(pages):
    page = read(pages["broken"])
    ids = [value for value in page.values("id") if not value.startswith("h-")]
    assert ids.index("gaps") == ids.index("verdict") + 1
    assert "No verdict: nothing was measured." in page.text
    assert any("ValueError: no layer" in text for text in page.text)


def test_phantoms_are_announced_and_real_data_is_not(pages):
    assert "phantom" in read(pages["multilabel"]).values("class")
    assert "phantom" not in read(pages["binary"]).values("class")


def test_numbers_carry_interval_and_count(pages):
    text = re.sub(r"\s+", " ", pages["binary"].read_text(encoding="utf-8"))
    assert (
        '<span class="number" data-finding="clean.accuracy"><b>94.3 %</b> <span class="ci">91.7 to 96.9 %</span> '
        '<span class="n">n = 300</span></span>'
    ) in text
    assert "At 2 grey levels: PGD 1.7 % (0.2 to 3.1 %, n = 300); FGSM" in text


def test_decisions_taken_for_truth_make_no_reliability_diagram(tmp_path):
    folder = fake_run.binary(tmp_path, size=8)
    results = read_results(folder)
    unlabelled = [found for found in results.findings if not found.id.startswith("clean.")]
    write_results(results.model_copy(update={"findings": unlabelled}), folder)
    assert "No diagram" in " ".join(read(build(folder)).text)
    assert not (folder / "figures" / "reliability.svg").exists()


def test_hostile_names_stay_text(tmp_path):
    folder = fake_run.binary(tmp_path, HOSTILE, size=8)
    page = read(build(folder))
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not page.values("onerror")
    said = "".join(page.text)
    assert all(name in said for name in HOSTILE[:2])
    assert {found.id for found in read_results(folder).findings} <= set(page.values("data-finding"))


def test_hostile_attack_name_stays_text_in_charts(tmp_path):
    odd = finding(
        "curve.<b>$x^2$.accuracy@2", "odd", method="x", metric="accuracy", estimate=fake_run.share(0.5), args={}
    )
    fake_run.write(tmp_path, fake_run.record([odd], ("a", "b"), "multiclass"))
    page = read(build(tmp_path))
    assert not any(tag == "b" and attrs == {"$x^2$": None} for tag, attrs in page.tags)
    assert any("<b>$x^2$" in text for text in page.text)


@pytest.mark.parametrize("many", [1, 40])
def test_any_number_of_classes(tmp_path, many):
    folder = fake_run.multilabel(tmp_path, tuple(f"finding {index}" for index in range(many)))
    page = read(build(folder))
    assert {found.id for found in read_results(folder).findings} <= set(page.values("data-finding"))


def test_missing_rows_pictures_and_configuration(tmp_path):
    folder = fake_run.binary(tmp_path, size=8)
    for path in (folder / "rows" / "images.parquet", folder / "config.yaml", folder / "figures" / "ex0_clean.png"):
        path.unlink()
    said = " ".join(read(build(folder)).text)
    assert "picture not stored" in said
    assert "No diagram" in said


def test_record_that_knows_neither_model_nor_data(tmp_path):
    fake_run.write(
        tmp_path, fake_run.record([], (), "").model_copy(update={"model": {}, "data": {}, "config": {"a": 7}})
    )
    (tmp_path / "config.yaml").unlink()
    said = " ".join(read(build(tmp_path)).text)
    assert "No verdict" in said
    assert '"a": 7' in said


def test_null_values_are_not_measured(tmp_path):
    odd = [
        finding(name, "odd", method="x", metric=name.split(".")[1].split("@")[0])
        for name in ("clean.accuracy", "noise.accuracy@1", "storage.8bit@1", "damage.a@1")
    ]
    odd.append(finding("curve.pgd.accuracy@1", "odd", method="pgd", metric="accuracy"))
    fake_run.write(tmp_path, fake_run.record(odd, ("a", "b"), "multiclass"))
    assert read(build(tmp_path)).text.count("not measured") == len(odd) + 2  # and the two derived cells of the damage


def test_picture_outside_the_run_is_not_read(tmp_path):
    folder = fake_run.binary(tmp_path / "run", size=8)
    fake_pictures.png(tmp_path / "secret.png", 8, lambda _x, _y: 0.5)
    path = folder / "figures" / "examples.json"
    path.write_text(path.read_text().replace("figures/ex0_diff.png", "../secret.png"))
    secret = base64.b64encode((tmp_path / "secret.png").read_bytes()).decode()
    text = build(folder).read_text()
    assert secret not in text
    assert "picture not stored" in text


def test_refuses_a_folder_without_a_record(tmp_path):
    with pytest.raises(InputError, match=r"run folder must hold results\.json, found none in"):
        build(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("figures/examples.json", b"{", r"examples\.json must be JSON"),
        ("figures/examples.json", b"{}", r"examples\.json must hold a list of examples, got dict"),
        ("figures/ex0_clean.png", b"GIF89a", r"figures must be PNG files, got figures/ex0_clean\.png which is not one"),
        ("rows/images.parquet", b"no", r"rows must be Parquet files, cannot read .*images\.parquet"),
    ],
)
def test_refuses_a_broken_file(tmp_path, name, content, message):
    folder = fake_run.binary(tmp_path, size=8)
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        build(folder)


def test_results_are_not_touched(tmp_path):
    folder = fake_run.broken(tmp_path)
    before = (folder / "results.json").read_bytes()
    build(folder)
    assert (folder / "results.json").read_bytes() == before
    write_results(read_results(folder), folder)
    assert (folder / "results.json").read_bytes() == before
