"""A scan of a model as a run: cells, verdicts by the stated rule, rows, pictures, and the statistics of twins."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from planted_backdoor import CLASSES, SIDE, plan, planted, scans

from aseptic.core.errors import InputError
from aseptic.core.record import read_results
from aseptic.data.memory import memory_set
from aseptic.models.subject import Subject
from aseptic.models.training import new_subject
from aseptic.scanners.calibration import Null, needed, write_null
from aseptic.scanners.catalogue import make_scanner
from aseptic.studies.scan.model import dry_run, prepare_scan, scan_model
from aseptic.studies.scan.nulls import NULL_FILE, read_nulls, write_nulls
from aseptic.studies.scan.rates import shared, together
from aseptic.studies.scan.settings import ScanSettings

QUICK = {"mm-bd": {"starts": 2, "steps": 40}, "neural-cleanse": {"images": 6, "rounds": 10}}
TRAINING = {"epochs": 2, "batch_size": 12, "keep": "last", "patience": None}


def settings(*names, **more):
    scanners = {name: QUICK.get(name, {}) for name in names} if names else QUICK
    return ScanSettings(**{"scanners": scanners, "images": 12, **more})


def null(name, clean=(), infected=None, **facts):
    """Return the statistics of made-up twins."""
    return Null(
        scanner=make_scanner(name, **QUICK[name]).describe(),
        clean={f"clean/{number}": value for number, value in enumerate(clean)},
        infected={kind: dict(enumerate_named(kind, values)) for kind, values in (infected or {}).items()},
        facts=facts,
    )


def enumerate_named(kind, values):
    return [(f"{kind}/{number}", value) for number, value in enumerate(values)]


def by_id(results):
    return {one.id: one for one in results.findings}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A planted model, scanned by two scanners; twins are only known for one of them."""
    out, asked = tmp_path_factory.mktemp("scan") / "run", settings()
    given = {"mm-bd": null("mm-bd", [1.0] * 19, {"patch": [90.0] * 9 + [0.5]})}
    prepared = prepare_scan(planted(), scans(), asked, nulls=given)
    return out, prepared, scan_model(prepared, out, settings=asked), asked


def test_the_verdict_is_that_of_the_scanner_that_has_twins(run):
    _, _, results, _ = run
    found = by_id(results)
    assert results.findings[0].id == "verdict"
    assert found["verdict"].args["answer"] == "infected"
    assert found["verdict"].severity == "high"
    assert found["verdict"].value == 1
    assert found["scan.neural-cleanse.p_value"].args["answer"] == "cannot tell"
    assert found["scan.neural-cleanse.p_value"].value is None
    p_value = found["scan.mm-bd.p_value"]
    assert (p_value.value, p_value.n, p_value.args["target"]) == (pytest.approx(0.05), 19, "covid")
    power = found["scan.mm-bd.power:patch"]
    assert (power.value, power.n) == (0.9, 10)
    assert found["scan.mm-bd.false_positives"].value == pytest.approx(0.05)
    assert found["scan.neural-cleanse.seconds"].value > 0
    assert found["scan.mm-bd.statistic"].args["clean"] == [1.0] * 19


def test_rows_findings_and_pictures_say_the_same(run):
    out, _, results, _ = run
    rows = pq.read_table(out / "rows" / "scan.parquet").to_pandas()
    assert list(rows["output"]) == [*CLASSES, *CLASSES]
    found = by_id(results)
    for row in rows.itertuples():
        one = found[f"scan.{row.scanner}.score:{row.output}"]
        assert one.value == pytest.approx(row.score, rel=1e-6)
        assert one.args["reached"] == pytest.approx(row.reached, rel=1e-6)
        assert all((out / file).is_file() for file in one.artefacts)
    scores = [found[f"scan.neural-cleanse.score:{name}"] for name in CLASSES]
    recovered = [one for one in scores if one.value > -1]
    assert recovered, "some output was reached with a mask smaller than the image"
    for one in recovered:
        with Image.open(out / one.args["mask"]) as shown:
            mask = np.asarray(shown)
        assert mask.shape == (SIDE, SIDE, 3)
        assert mask.mean() / 255 == pytest.approx(-one.value, abs=1 / 255)
    assert "mask" not in found["scan.mm-bd.score:covid"].args, "a mask that covers everything shows nothing"
    twins = pq.read_table(out / "rows" / "twins.parquet").to_pandas()
    assert twins.groupby("backdoor").size().to_dict() == {"": 19, "patch": 10}


def test_what_is_stored_is_not_computed_again(run):
    out, prepared, results, asked = run
    told = []
    again = scan_model(prepared, out, settings=asked, resume=True, watch=told.append)
    assert {one.state for one in told} == {"reused"}
    assert [one.model_dump() for one in again.findings] == [one.model_dump() for one in results.findings]
    assert read_results(out).findings == again.findings
    assert all(one.stored for one in dry_run(prepared, out))
    with pytest.raises(InputError, match="already holds a run"):
        scan_model(prepared, out, settings=asked)


def test_the_key_follows_model_images_scanner_and_seed():
    def key(model=None, data=None, **more):
        return prepare_scan(model or planted(), data or scans(), settings("mm-bd", **more)).cells["mm-bd"].key

    other = settings(scanners={"mm-bd": {"starts": 3, "steps": 40}})
    turned = Subject(planted().module, task="multiclass", classes=CLASSES[::-1], channels=1, size=SIDE)
    keys = [
        key(),
        key(seed=1),
        key(images=11),
        key(data=scans(59)),
        key(turned),
        prepare_scan(planted(), scans(), other).cells["mm-bd"].key,
    ]
    assert len(set(keys)) == len(keys)
    assert key(rate=0.01) == keys[0], "what is made of a scan is no part of it"


def test_the_rate_is_shared_and_just_enough_twins_are_enough():
    assert [needed(shared(0.05, count)) for count in (1, 2, 3, 4)] == [19, 39, 59, 79]
    assert shared(0.05, 3) == pytest.approx(0.05 / 3, rel=1e-12)
    assert together(["cannot tell", "cannot tell"]) == "cannot tell"


def test_two_scanners_with_twins_need_more_of_them(tmp_path):
    asked = settings()
    given = {name: null(name, [-9.0] * 19) for name in QUICK}
    prepared = prepare_scan(planted(), scans(), asked, nulls=given)
    (said,) = prepared.warnings(asked)
    assert said == (
        "mm-bd, neural-cleanse will not be able to tell: at least 39 clean twins are needed, and there are 19"
    )
    results = scan_model(prepared, tmp_path, settings=asked)
    assert by_id(results)["verdict"].args["answer"] == "cannot tell"
    text = by_id(results)["verdict"].args["text"]
    assert text[-1] == (
        "2 scanners were compared with twins, and each may call 2.5 % of clean models infected, so that together they "
        "call at most 5 %."
    )


def test_a_model_is_clean_only_of_what_would_have_been_found(tmp_path):
    asked = settings("mm-bd")
    answers = {}
    for name, infected in (("able", [1e9] * 9 + [-1e9]), ("unable", [1e9] * 7 + [-1e9] * 3)):
        given = {"mm-bd": null("mm-bd", [1e8] * 19, {"patch": infected})}
        results = scan_model(prepare_scan(planted(), scans(), asked, nulls=given), tmp_path / name, settings=asked)
        answers[name] = by_id(results)["verdict"]
    assert (answers["able"].args["answer"], answers["able"].severity) == ("clean", "low")
    assert "such as patch" in answers["able"].args["text"][0]
    assert (answers["unable"].args["answer"], answers["unable"].severity) == ("cannot tell", "info")


def test_without_images_only_scanners_run_that_need_none(tmp_path):
    asked = ScanSettings(scanners=None)
    prepared = prepare_scan(planted(), None, asked)
    assert list(prepared.cells) == ["mm-bd"]
    assert [one.id for one in prepared.skipped] == ["scan.neural-cleanse", "scan.smooth-inversion"]
    assert prepared.images.shape == (0, 1, SIDE, SIDE)
    (said,) = prepared.warnings(asked)
    assert said == "mm-bd will not be able to tell: there are no twins to compare with"
    quick = settings("mm-bd")
    results = scan_model(prepare_scan(planted(), None, quick), tmp_path, settings=quick)
    assert results.data == {}
    assert by_id(results)["scan.mm-bd.score:covid"].value is not None


def split_scans():
    data = scans(30)
    splits = ["train"] * 18 + ["val"] * 6 + ["test"] * 6
    return replace(data, items=tuple(replace(one, split=name) for one, name in zip(data.items, splits, strict=True)))


def test_twins_are_trained_once_for_all_scanners(tmp_path):
    model = new_subject("aseptic:smallcnn?width=4", task="multiclass", classes=CLASSES, size=SIDE, channels=1)
    quick = {"mm-bd": {"starts": 1, "steps": 2}, "smooth-inversion": {"images": 4, "rounds": 2}}
    poison = plan(select={"rate": 0.5})
    asked = ScanSettings(scanners=quick, twins=1, infected=1, plans={"patch": poison}, images=4)
    prepared = prepare_scan(model, split_scans(), asked, training=TRAINING)
    told = []
    results = scan_model(prepared, tmp_path, settings=asked, watch=told.append)
    done = sorted(one.cell.name for one in told if one.state == "done")
    assert done == [
        *("mm-bd/clean/0", "mm-bd/model", "mm-bd/patch/0"),
        *("smooth-inversion/clean/0", "smooth-inversion/model", "smooth-inversion/patch/0"),
        *("tried/patch/0", "twin/clean/0", "twin/patch/0"),
    ]
    assert all(one.cell.estimate for one in told if not one.cell.name.startswith("tried"))
    nulls = read_nulls(tmp_path / NULL_FILE)
    assert set(nulls) == set(quick)
    assert list(nulls["mm-bd"].clean) == ["clean/0"]
    assert by_id(results)["verdict"].args["answer"] == "cannot tell"
    again = prepare_scan(model, split_scans().split("test"), settings_of(quick), nulls=nulls)
    assert torch.equal(again.images, prepared.images), "a model is shown what its twins were shown"


def settings_of(quick, **more):
    return ScanSettings(**{"scanners": quick, "images": 4, **more})


def test_a_file_of_one_scanner_serves_too(tmp_path):
    one = null("mm-bd", [1.0, 2.0])
    assert read_nulls(write_null(one, tmp_path / "one.json")) == {"mm-bd": one}
    assert read_nulls(write_nulls({"mm-bd": one}, tmp_path / "all.json")) == {"mm-bd": one}
    (tmp_path / "odd.json").write_text(json.dumps({"mm-bd": {"clean": 3}}))
    with pytest.raises(InputError, match=r"odd\.json must hold what a scan with twins writes: mm-bd\.scanner"):
        read_nulls(tmp_path / "odd.json")
    (tmp_path / "odd.json").write_text("{")
    with pytest.raises(InputError, match=r"odd\.json must hold what a scan with twins writes"):
        read_nulls(tmp_path / "odd.json")
    with pytest.raises(InputError, match=r"null must be a file such as RUN/null\.json, and .*none\.json is none"):
        read_nulls(tmp_path / "none.json")


def test_volumes_are_shown_where_the_trigger_is(tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 6 * 5, 2))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].weight.view(2, 4, 6, 5)[1, 3] = 1.0
    model = Subject(network.eval(), task="multiclass", classes=("a", "b"), channels=1, size=(4, 6, 5))
    data = memory_set("volumes", torch.full((6, 1, 4, 6, 5), 0.2), torch.zeros(6, dtype=torch.long), classes=("a", "b"))
    asked = settings("mm-bd")
    results = scan_model(prepare_scan(model, data, asked), tmp_path, settings=asked)
    file = by_id(results)["scan.mm-bd.score:b"].args["picture"]
    with Image.open(tmp_path / file) as shown:
        assert shown.size == (5, 6)


@pytest.mark.parametrize(
    ("asked", "more", "message"),
    [
        ({"scanners": {"mmbd": {}}}, {}, "scanner must be one of mm-bd, neural-cleanse"),
        ({"scanners": {"mm-bd": {"stars": 1}}}, {}, "got 'stars', did you mean 'starts'"),
        (
            {"twins": 2},
            {"nulls": {"mm-bd": null("mm-bd", [1.0])}},
            r"either twins must be trained \(--twins\) or given",
        ),
        ({"twins": 2}, {}, "has no architecture name, without which it has no twins"),
        (
            {},
            {"nulls": {"other": null("mm-bd", [1.0])}},
            "twins must be scanned with one of mm-bd, neural-cleanse; got",
        ),
        (
            {},
            {"nulls": {"mm-bd": replace(null("mm-bd"), scanner={"name": "mm-bd"})}},
            "must be scanned as the model was",
        ),
        ({}, {"nulls": {"mm-bd": null("mm-bd", images=9)}}, "images must be 9 as for the twins, got 12"),
        ({}, {"nulls": {"mm-bd": null("mm-bd", seed=4)}}, "seed must be 4 as for the twins, got 0"),
        (
            {},
            {"nulls": {"mm-bd": null("mm-bd", recipe={"arch": "", "size": 64})}},
            "twins must be like the model: size is 16 for the model, 64 for the twins",
        ),
    ],
)
def test_what_cannot_be_scanned_so_is_refused(asked, more, message):
    data = split_scans() if "twins" in asked else scans()
    with pytest.raises(InputError, match=message):
        prepare_scan(planted(), data, settings(**asked), **more)


def test_models_and_images_that_do_not_serve_are_refused():
    with pytest.raises(InputError, match=r"neural-cleanse must be given clean images \(--data\), got none"):
        prepare_scan(planted(), None, settings("neural-cleanse"))
    sizeless = Subject(planted().module, task="multiclass", classes=CLASSES, channels=1)
    with pytest.raises(InputError, match="the model does not say its own"):
        prepare_scan(sizeless, None, settings("mm-bd"))
    with pytest.raises(InputError, match=r"twins must be given what they learn from \(--data\), got nothing"):
        prepare_scan(planted(), None, settings("mm-bd", twins=1))
    dense = Subject(planted().module, task="segmentation", classes=CLASSES, channels=1, size=SIDE)
    with pytest.raises(InputError, match="scanners serve multiclass and multilabel models, got segmentation"):
        prepare_scan(dense, scans(), settings())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"rate": 0.6}, r"rate must lie in \(0, 0.5\], got 0.6"),
        ({"power": 0}, r"power must lie in \(0, 1\], got 0.0"),
        ({"scanners": {}}, "scanners must name at least one scanner, got none"),
        ({"infected": 3}, "infected twins must come with a trigger or plan that infects them"),
        (
            {"plans": {"patch": plan()}, "infected": 1},
            r"infected twins must come with clean ones \(--twins\), got none",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(asked, message):
    with pytest.raises(InputError, match=message):
        ScanSettings(**asked)
