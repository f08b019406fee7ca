"""A scan of a training set as a run: the verdict against permuted labels, rows, thumbnails, refusals."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from planted_backdoor import CLASSES, SIDE, planted

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.models.guard import untouched
from aseptic.studies.scan.set_judging import TITLES, p_value, stands_out
from aseptic.studies.scan.sets import dry_run, prepare_set_scan, scan_set
from aseptic.studies.scan.settings import SetScanSettings

COUNT, BAD = 60, 10
SPECTRUM = {"spectrum": {"bands": 16}}


def pictures(*, poisoned):
    """Return noise in three classes; of the second, some carry a wave."""
    images = (0.5 + 0.1 * torch.randn(3 * COUNT, 1, SIDE, SIDE, generator=stream(0, "set"))).clamp(0, 1)
    labels = torch.arange(3 * COUNT) % 3
    where = (labels == 1).nonzero()[:BAD, 0]
    if poisoned:
        images[where] += 0.2 * torch.sin(torch.arange(SIDE) * 2.2)
    made = memory_set("set", images.clamp(0, 1), labels, classes=CLASSES, task="multiclass")
    return made, {made.ids[row] for row in where.tolist()}


def settings(**more):
    return SetScanSettings(**{"scanners": SPECTRUM, "draws": 19, **more})


def by_id(results):
    return {one.id: one for one in results.findings}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data, bad = pictures(poisoned=True)
    out, asked = tmp_path_factory.mktemp("set") / "run", settings(scanners=None, draws=79)
    prepared = prepare_set_scan(data, None, asked)
    return out, prepared, scan_set(prepared, out, settings=asked), bad


def test_poison_is_found_where_it_is(run):
    out, prepared, results, bad = run
    found = by_id(results)
    assert found["verdict"].args["answer"] == "cannot tell"
    assert (found["verdict"].severity, found["verdict"].title) == ("medium", TITLES[True])
    assert found["verdict"].threat == "AML.T0020"
    one = found["scan.spectrum.p_value"]
    assert one.args["target"] == CLASSES[1]
    assert one.value == pytest.approx(1 / 80)
    listed = [each["id"] for each in one.args["suspicious"]]
    assert set(listed[:BAD]) == bad
    assert all((out / file).is_file() for file in one.artefacts)
    with Image.open(out / one.artefacts[0]) as shown:
        assert shown.size == (SIDE, SIDE)
    rows = pq.read_table(out / "rows" / "suspicion.parquet").to_pandas()
    assert set(rows.nlargest(BAD, "suspicion")["id"]) == bad
    assert len(rows) == 3 * COUNT
    scores = [found[f"scan.spectrum.score:{name}"] for name in CLASSES]
    assert scores[1].value == max(each.value for each in scores) == found["scan.spectrum.statistic"].value
    assert scores[0].args["p_value"] > one.value
    assert [each.n for each in scores] == [COUNT] * 3
    assert {each.id for each in results.skipped} == {
        "scan.activation-clustering",
        "scan.beatrix",
        "scan.spectral-signatures",
    }
    assert all(each.stored for each in dry_run(prepared, out))


def test_a_clean_set_is_not_called_clean(tmp_path):
    data, _ = pictures(poisoned=False)
    asked = settings()
    results = scan_set(prepare_set_scan(data, None, asked), tmp_path, settings=asked)
    assert by_id(results)["verdict"].args["answer"] == "cannot tell"
    assert by_id(results)["verdict"].severity == "info"


def test_with_a_model_every_scanner_looks_and_the_rate_is_shared(tmp_path):
    data, _ = pictures(poisoned=True)
    asked = settings(scanners={"spectral-signatures": {}, "activation-clustering": {"restarts": 1}}, draws=39, shown=1)
    model = planted()
    with untouched(model):
        results = scan_set(prepare_set_scan(data, model, asked), tmp_path, settings=asked)
    found = by_id(results)
    assert not results.failed
    assert found["verdict"].args["compared"] == 2
    assert "each may call 2.5 % of sets with permuted labels suspicious" in " ".join(found["verdict"].args["text"])
    assert found["scan.activation-clustering.p_value"].args["rate"] == pytest.approx(0.025)
    assert results.model["classes"] == list(CLASSES)


def test_the_p_value_is_that_of_a_permutation_test():
    assert p_value(5.0, [1.0] * 19) == 0.05
    found = {"statistic": 5.0, "null": [1.0] * 19}
    assert (stands_out(found, 0.05), stands_out(found, 0.04)) == (True, False)
    assert not stands_out({"statistic": 1.0, "null": [1.0] * 19}, 0.05)


def test_what_cannot_be_scanned_so_is_refused():
    data, _ = pictures(poisoned=False)
    with pytest.raises(InputError, match=r"beatrix must be given the model that was trained on the set \(--model\)"):
        prepare_set_scan(data, None, settings(scanners={"beatrix": {}}))
    with pytest.raises(InputError, match="draws must be at least 19 for a rate of 5 % over 1 scanner, got 18"):
        prepare_set_scan(data, None, settings(draws=18))
    with pytest.raises(InputError, match="some label must have at least 61 images for spectrum; got normal 60"):
        prepare_set_scan(data, None, settings(scanners={"spectrum": {"at_least": 61}}))
    with pytest.raises(InputError, match="a scanned set must be labelled for multiclass or multilabel, got no labels"):
        prepare_set_scan(replace(data, task=None), None, settings())
    findings = memory_set("f", data.images, torch.ones(3 * COUNT, 3), classes=CLASSES, task="multilabel")
    with pytest.raises(InputError, match="data must be multiclass as the model is, got multilabel"):
        prepare_set_scan(findings, planted(), settings())
