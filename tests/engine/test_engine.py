"""The engine on cells that count how often they run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aseptic.engine.cells import Cell, in_order
from aseptic.engine.runner import plan, run_cells
from aseptic.engine.store import PARTIAL, Store

HERE = "tests_engine_cells"
CELLS = """
import time
from aseptic.core.errors import InputError

def note(job):
    with open(job.config["log"], "a") as file:
        file.write(job.config["name"] + "\\n")

def add(job):
    note(job)
    total = job.config["add"] + sum(one.value["total"] for one in job.inputs.values())
    (job.folder / "total.txt").write_text(str(total))
    return {"total": total}

def fail(job):
    note(job)
    raise InputError("size must be 3, got 4")

def crash(job):
    note(job)
    (job.folder / "half.txt").write_text("half")
    raise ZeroDivisionError("division by zero")

def slow(job):
    note(job)
    (job.folder / "half.txt").write_text("half")
    time.sleep(job.config.get("sleep", 60))
    return {"total": 1}

def seen(job):
    note(job)
    return {"total": job.context["number"]}
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    (tmp_path / f"{HERE}.py").write_text(CELLS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, HERE, raising=False)

    def cell(name, function="add", inputs=None, **config):
        config = {"name": name, "log": str(tmp_path / "log"), **config}
        return Cell(name=name, function=f"{HERE}:{function}", config=config, inputs=inputs or {})

    return cell


def calls(folder: Path) -> list[str]:
    return (folder / "log").read_text().split()


def test_a_diamond_is_computed_once_and_then_reused(make, tmp_path):
    root = make("root", add=1)
    left, right = make("left", inputs={"a": root}, add=10), make("right", inputs={"a": root}, add=20)
    top = make("top", inputs={"a": left, "b": right}, add=0)
    store = Store(tmp_path / "cells")
    first = run_cells([top], store)
    assert first["top"].stored.value == {"total": 1 + 10 + 1 + 20}
    assert (first["top"].stored.folder / "total.txt").read_text() == "32"
    second = run_cells([top], store)
    assert {one.state for one in second.values()} == {"reused"}
    assert sorted(calls(tmp_path)) == ["left", "right", "root", "top"]


def test_the_key_is_the_content(make):
    one = make("a", add=1)
    assert one.key == make("a", add=1).key
    assert len({one.key, make("a", add=2).key, make("a", "fail", add=1).key}) == 3
    assert make("b", inputs={"a": one}, add=1).key != make("b", inputs={"a": make("a", add=2)}, add=1).key
    renamed = Cell(name="other", function=one.function, config=one.config)
    assert renamed.key == one.key
    assert Cell(name="a", function=one.function, config=one.config, version=2).key != one.key


def test_a_failure_stays_local_and_is_tried_again(make, tmp_path):
    bad, boom, good = make("bad", "fail"), make("boom", "crash"), make("good", add=5)
    after = make("after", inputs={"a": bad}, add=1)
    store = Store(tmp_path / "cells")
    ended = run_cells([after, boom, good], store)
    assert ended["bad"].reason == "size must be 3, got 4"
    assert "InputError" in ended["bad"].trace
    assert ended["boom"].reason == "ZeroDivisionError: division by zero"
    assert (ended["after"].state, ended["after"].reason) == ("skipped", "it needs bad, which was failed")
    assert ended["good"].stored.value == {"total": 5}
    assert [p.name for p in store.root.iterdir()] == [good.key], "nothing half-written is left"
    run_cells([after, boom, good], store)
    assert calls(tmp_path).count("bad") == 2
    assert calls(tmp_path).count("good") == 1


def test_the_context_reaches_the_cells(make, tmp_path):
    ended = run_cells([make("s", "seen")], Store(tmp_path / "cells"), context={"number": 7})
    assert ended["s"].stored.value == {"total": 7}


def test_the_plan_says_what_is_stored(make, tmp_path):
    store, one = Store(tmp_path / "cells"), make("one", add=1)
    two = make("two", inputs={"a": one}, add=1)
    run_cells([one], store)
    assert [(line.cell.name, line.stored) for line in plan([two], store)] == [("one", True), ("two", False)]
    assert calls(tmp_path) == ["one"]


def test_watchers_see_every_change(make, tmp_path):
    seen = []
    run_cells([make("one", add=1)], Store(tmp_path / "cells"), watch=lambda o: seen.append((o.cell.name, o.state)))
    assert seen == [("one", "running"), ("one", "done")]


def test_an_interrupt_is_not_a_failure(make, tmp_path, monkeypatch):
    store, cell = Store(tmp_path / "cells"), make("one", "slow")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_cells([cell], store)
    assert list(store.root.iterdir()) == []


def test_a_value_that_is_not_json_is_a_failure(make, tmp_path):
    ended = run_cells([make("s", "seen")], Store(tmp_path / "cells"), context={"number": float("nan")})
    assert ended["s"].state == "failed"


def test_a_killed_run_leaves_only_finished_cells(make, tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path\n"
        "from aseptic.engine.cells import Cell\nfrom aseptic.engine.runner import run_cells\n"
        "from aseptic.engine.store import Store\n"
        f"log = {str(tmp_path / 'log')!r}\n"
        f"quick = Cell(name='quick', function='{HERE}:add', config={{'name': 'quick', 'log': log, 'add': 1}})\n"
        f"slow = Cell(name='slow', function='{HERE}:slow', config={{'name': 'slow', 'log': log}})\n"
        f"run_cells([quick, slow], Store(Path({str(tmp_path / 'cells')!r})))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "log").exists() or "slow" not in calls(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
    store = Store(tmp_path / "cells")
    left = [folder.name for folder in store.root.iterdir()]
    assert len([name for name in left if name.startswith(PARTIAL)]) == 1
    assert store.sweep() == 1
    ended = run_cells([make("quick", add=1)], store)
    assert ended["quick"].state == "reused"
    assert json.loads((ended["quick"].stored.folder / "cell.json").read_text())["name"] == "quick"


def test_two_writers_of_one_cell_agree(make, tmp_path):
    store, cell = Store(tmp_path / "cells"), make("one", add=1)
    with store.partial(cell) as mine, store.partial(cell) as other:
        store.commit(cell, other, {"total": 1}, 0.1)
        kept = store.commit(cell, mine, {"total": 2}, 0.2)
    assert kept.value == {"total": 1}


def test_order_puts_inputs_first(make):
    one = make("one", add=1)
    assert [cell.name for cell in in_order([make("two", inputs={"a": one}, add=1), one])] == ["one", "two"]
