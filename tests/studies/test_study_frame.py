"""A study whose numbers are known beforehand: run, failed, killed and gone on with, at two scales."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import coin_study
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate
from aseptic.core.record import finding, read_results
from aseptic.metrics.intervals import wilson
from aseptic.report import build
from aseptic.studies.catalogue import STUDIES
from aseptic.studies.frame.claims import at_least
from aseptic.studies.frame.measuring import Measure
from aseptic.studies.frame.prepare import prepare_study
from aseptic.studies.frame.run import plan_study, run_study
from aseptic.studies.frame.traps import Trap
from aseptic.studies.running import Asked

TESTS = Path(__file__).parents[1]
COINS = coin_study.STUDY


def ready(study=COINS, scale="smoke", sources=None, **more):
    return prepare_study(study, scale=scale, sources=sources or {}, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("coins")
    return run_study(ready(seed=3), out, asked=Asked(command=["aseptic", "study"], config={"device": "cpu"})), out


def by_id(results):
    return {one.id: one for one in results.findings}


def verdicts(results):
    return {one.id[6:]: one.args["verdict"] for one in results.findings if one.id.startswith("claim.")}


def test_numbers_are_those_of_the_closed_form(whole):
    found = by_id(whole[0])
    for bias in coin_study.BIASES:
        heads, released = found[f"heads.{bias:g}"], found[f"released.{bias:g}"]
        assert (heads.value, heads.ci_low, heads.ci_high, heads.n) == (bias, *wilson(bias, 100), 100)
        assert released.value == (100 * bias + coin_study.EDGES) / 110


def test_claims_end_as_the_intervals_say(whole):
    assert verdicts(whole[0]) == {
        "biased": "held",
        "unfair": "not held",
        "fair": "not testable",
        "order": "not testable",
    }
    biased = by_id(whole[0])["claim.biased"]
    assert biased.args == {
        "verdict": "held",
        "reason": "the interval [82.6, 94.5] % lies at or above 80 %",
        "published": 0.9,
        "measured": ["heads.0.9"],
        "criterion": "at least 80 %",
        "where": "abstract [PAPER abstract]",
    }
    assert by_id(whole[0])["claim.order"].args["reason"] == "phantom coins have no bias of their own"


def test_traps_name_both_numbers(whole):
    found = by_id(whole[0])
    pair = {"released": "released.0.5", "corrected": "heads.0.5", "done": "", "reasons": {}}
    assert found["trap.1g-1"].args == pair
    assert found["trap.1g-2"].args == {"released": None, "corrected": None, "done": "The order is kept.", "reasons": {}}


def test_the_run_folder_is_complete(whole):
    results, out = whole
    assert read_results(out) == results
    expected = {"results.json", "rows", "figures", "config.yaml", "log.txt", "report.html", "study.md", "cells"}
    assert {path.name for path in out.iterdir()} == expected
    rows = pq.read_table(out / "rows" / "flips.parquet").to_pandas()
    assert rows.groupby("cell").size().to_dict() == {f"flips/{bias:g}": 110 for bias in coin_study.BIASES}
    assert {path.name for path in (out / "figures").iterdir()} == {"flips-0.9-coin.png", "heads-by-bias.svg"}
    assert Image.open(out / "figures" / "flips-0.9-coin.png").getpixel((0, 0)) == round(255 * 0.9)
    assert "done flips/0.1" in (out / "log.txt").read_text()


def test_the_record_says_what_was_run(whole):
    results, out = whole
    assert results.command == ["aseptic", "study"]
    config = results.config
    assert (config["study"]["name"], config["scale"], config["seed"]) == ("coins1654", "smoke", 3)
    assert config["settings"] == {"seed": 3, "flips": 100}
    assert config["device"] == "cpu"
    assert config["data"]["coins"] == {"fingerprint": results.data["coins"]["fingerprint"]}
    assert config["sources"] == {}
    assert results.data["coins"]["n_used"] == 2
    assert yaml.safe_load((out / "config.yaml").read_text()) == {"command": ["aseptic", "study"], **config}
    assert sorted(results.timings) == ["flips/0.1", "flips/0.5", "flips/0.9"]


def test_the_pages_are_rebuilt_from_the_record_alone(whole):
    _, out = whole
    kept = {name: (out / name).read_bytes() for name in ("report.html", "study.md", "figures/heads-by-bias.svg")}
    for name in kept:
        (out / name).unlink()
    build(out)
    assert {name: (out / name).read_bytes() for name in kept} == kept


def test_resume_computes_nothing_twice(whole):
    results, out = whole
    with pytest.raises(InputError, match=r"out must be a new folder, or --resume be given; .* already holds a run"):
        run_study(ready(seed=3), out)
    states = []
    again = run_study(ready(seed=3), out, resume=True, watch=lambda one: states.append(one.state))
    assert states == ["reused"] * 3
    assert again.findings == results.findings
    assert [line.stored for line in plan_study(ready(seed=3), out)] == [True] * 3
    assert [line.stored for line in plan_study(ready(seed=4), out)] == [False] * 3


def test_rows_of_an_earlier_grid_do_not_stay(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "old.parquet").write_text("old")
    run_study(ready(), tmp_path)
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["flips.parquet"]


def failing(bias):
    """Return the study with no flips of one coin, which its cell refuses."""

    def cells(setup):
        found = coin_study.cells(setup)
        return [
            replace(one, config={**one.config, "flips": 0}) if one.name == f"flips/{bias:g}" else one for one in found
        ]

    return replace(COINS, cells=cells)


def test_a_failed_cell_takes_only_its_own_numbers(tmp_path):
    results = run_study(ready(failing(0.9)), tmp_path)
    found = by_id(results)
    assert "heads.0.9" not in found
    assert found["heads.0.5"].value == 0.5
    reason = "it needs flips/0.9, which was failed: ValueError: no flips"
    assert {one.id: one.reason for one in results.skipped} == {"heads.0.9": reason, "released.0.9": reason}
    assert [(one.id, one.reason) for one in results.failed] == [("flips/0.9", "ValueError: no flips")]
    assert "Traceback" in results.failed[0].traceback
    assert verdicts(results) == dict.fromkeys(("biased", "fair", "order"), "not testable") | {"unfair": "not held"}
    assert found["claim.biased"].args["reason"] == f"heads.0.9 is not known: {reason}"
    page = (tmp_path / "report.html").read_text()
    assert page.count(reason) >= 2
    assert "picture not stored" in page


def test_a_trap_says_why_a_number_is_missing(tmp_path):
    found = by_id(run_study(ready(failing(0.5)), tmp_path))
    reason = "it needs flips/0.5, which was failed: ValueError: no flips"
    assert found["trap.1g-1"].args["reasons"] == {"released": reason, "corrected": reason}


def measure_of(read, gives=("odd.one", "odd.two")):
    return Measure(title="Something odd", gives=gives, cells=("flips/0.1",), read=read)


def odd(name):
    return finding(name, name, method="m", metric="n", estimate=Estimate(value=1.0, low=1.0, high=1.0, n=1))


def broken(_):
    raise KeyError("side")


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (broken, "KeyError: 'side'"),
        (
            lambda _: [odd("odd.one"), odd("odd.three")],
            "the measure of 'Something odd' must give what it says, got another answer on odd.three, odd.two",
        ),
    ],
)
def test_a_measure_that_breaks_is_named_and_the_others_go_on(tmp_path, read, reason):
    claim = replace(coin_study.CLAIMS[0], id="odd", findings=("odd.one",), criterion=at_least(0.0))
    study = replace(
        COINS, claims=(*COINS.claims, claim), measures=lambda setup: [measure_of(read), *COINS.measures(setup)]
    )
    results = run_study(ready(study), tmp_path)
    assert [(one.id, one.title, one.reason) for one in results.failed] == [("odd.one", "Something odd", reason)]
    assert by_id(results)["heads.0.1"].value == 0.1
    assert by_id(results)["claim.odd"].args["reason"] == f"odd.one is not known: measuring it failed: {reason}"


def test_a_measure_reads_what_cells_returned(tmp_path):
    def read(computed):
        value = computed.value("flips/0.1")
        yield finding("odd.one", "Flips", method="m", metric="count", estimate=None).model_copy(
            update={"value": float(value["flips"] + value["images"])}
        )

    study = replace(COINS, measures=lambda s: [measure_of(read, ("odd.one",)), *COINS.measures(s)])
    assert by_id(run_study(ready(study), tmp_path))["odd.one"].value == 102


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    """The cell of 0.9 waits for ever in the first process, which is killed; what was finished is not flipped again."""
    script = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(TESTS)!r})\n"
        "import coin_study\n"
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "from aseptic.studies.frame.prepare import prepare_study\n"
        "from aseptic.studies.frame.run import run_study\n"
        "def wait(outcome):\n"
        "    if outcome.state == 'running' and outcome.cell.name == 'flips/0.9':\n"
        "        time.sleep(600)\n"
        f"study = replace(coin_study.STUDY, cells=lambda s: coin_study.cells(s, log={str(tmp_path / 'seen')!r}))\n"
        "prepared = prepare_study(study, scale='smoke', sources={})\n"
        f"run_study(prepared, Path({str(tmp_path / 'run')!r}), watch=wait)\n"
    )
    seen, out = tmp_path / "seen", tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        deadline = time.monotonic() + 120
        while not seen.exists() or len(list((out / "cells").glob("[0-9a-f]*"))) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / "results.json").exists()
    study = replace(COINS, cells=lambda setup: coin_study.cells(setup, log=str(seen)))
    states = []
    resumed = run_study(ready(study), out, resume=True, watch=lambda one: states.append(one.state))
    assert states == ["reused", "reused", "running", "done"]
    assert seen.read_text().split() == ["0.1", "0.5", "0.9"]
    assert verdicts(resumed)["biased"] == "held"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("pictures")
    for i in range(3):
        Image.new("L", (16, 16), 80 * i).save(found / f"{i}.png")
    (found / "labels.csv").write_text("file,label\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(3)))
    return str(found)


def test_real_data_comes_from_where_it_was_said_to_be(folder, tmp_path):
    results = run_study(ready(scale="desk", sources={"coins": folder}), tmp_path)
    assert results.data["coins"]["n_used"] == 3
    assert results.config["sources"] == {"coins": folder}
    assert verdicts(results)["order"] == "held", "only phantoms could not decide it"
    assert folder not in (tmp_path / "study.md").read_text()


def test_a_trap_of_another_scale_is_left_open(tmp_path):
    trap = Trap(number="9", words="Seen on the published data only", released="far.a", corrected="far.b")
    found = by_id(run_study(ready(replace(COINS, traps=(trap,))), tmp_path))
    assert found["trap.9"].args["reasons"] == {"released": "", "corrected": ""}
    assert "not measured at this scale" in (tmp_path / "report.html").read_text()


def test_every_study_of_the_catalogue_declares_itself():
    for name in STUDIES.names():
        study = STUDIES.load(name)
        assert study.name == name
        assert study.paper.startswith("https://")
        assert "smoke" in study.scales
        assert not study.scales["smoke"].needs


def test_results_obey_the_schema(whole):
    jsonschema = pytest.importorskip("jsonschema")
    import aseptic  # noqa: PLC0415 - where the schema is

    schema = json.loads((Path(aseptic.__file__).parent / "core" / "results.schema.json").read_text())
    jsonschema.validate(json.loads((whole[1] / "results.json").read_text()), schema)
