"""Matsuo and Takemoto at every scale: the grid leads to its numbers, the traps are all there, a tiny run is whole."""

import shutil
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
import torch
from backdoored import given, stored
from calling import call
from published import write_covidx, write_lists, write_png, write_table
from tiny_studies import complete, page_rows, whole, write_folder

from aseptic.data.collections.covidx5 import Covidx5
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.poisoning.poison import poison, trigger_all
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.frame.prepare import prepare_study
from aseptic.studies.frame.run import run_study
from aseptic.studies.frame.study import Setup
from aseptic.studies.matsuo2021.grid import fine_tuned, networks
from aseptic.studies.matsuo2021.measures import exposure, shared_patients
from aseptic.studies.matsuo2021.settings import CLASSES, HALVES, LISTED, Settings, Tuning, plan_for
from aseptic.studies.matsuo2021.study import STUDY

TRAPS = [f"2g-{k}" for k in range(1, 8)]
STEADY = {"epochs": 1, "batch_size": 8, "keep": "last", "patience": None, "seed": 1, "warmup": 0.0}
TINY = Settings(
    recipe=Recipe(arch="aseptic:smallcnn?width=4", size=32, training=STEADY),
    beside=Recipe(arch="aseptic:covidnet?width=4", size=32, training=STEADY),
    rate=0.25,
    tuning=STEADY,
    ways=(
        Tuning(name="whole"),
        Tuning(name="head", training={"frozen": ("all-but-head",)}),
        Tuning(name="elsewhere", data="elsewhere", share=0.5),
    ),
    moved={"flip": True, "shift": 0.05, "brightness": 0.1},
    explained=4,
)
TARGETS = ("to-normal", "to-pneumonia", "to-covid")
LISTS = [f"{split}_COVIDx5_half_{half}.txt" for split in ("train", "test") for half in "12"]


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("ASEPTIC_PSEUDONYM_KEY", "a key for tests")


def films(name="films", names=CLASSES, count=72):
    phantom = load_data(f"phantom:cxr3?n={count}&size=32")
    kept = phantom.select(i for i, item in enumerate(phantom.items) if item.label < len(names))
    return replace(kept, name=name, classes=tuple(names))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("desk")
    covid = write_folder(root / "covid", films())
    beside = write_folder(root / "beside", films(names=CLASSES[:2]))
    return {"covid": str(covid), "beside": str(beside)}


@pytest.fixture(scope="module")
def published(real, tmp_path_factory):
    """Some of the real lines of the authors' lists, in COVID-Net's layout; all that share a COVID-19 patient."""
    target, lists = tmp_path_factory.mktemp("covidx"), real("seed_lists")
    every = {name: (lists / f"matsuo2021_{name}").read_text().splitlines() for name in LISTS}
    for name, lines in every.items():
        split, half = name.split("_")[0], name[-5]
        others = {line.split()[0] for line in every[f"{split}_COVIDx5_half_{3 - int(half)}.txt"]}
        kept = [line for i, line in enumerate(lines) if i % 90 == 0 or line.split()[0] in others]
        write_covidx(target, f"labels/{name}", kept, images=f"data/{split}")
    return target


@pytest.fixture
def sources(request):
    """Return a function from a scale to its data."""

    def choose(scale):
        if scale == "smoke":
            return {}
        if scale == "desk":
            return request.getfixturevalue("folders")
        return {"covidx5": f"covidx5:{request.getfixturevalue('published')}"}

    return choose


@pytest.mark.parametrize("scale", ["smoke", "desk", "paper"])
def test_the_grid_leads_to_its_numbers(scale, sources):
    prepared = prepare_study(STUDY, scale=scale, sources=sources(scale))
    complete(prepared, TRAPS)
    setup, made = prepared.setup, prepared.setup.settings
    extra = {"smoke": [], "desk": ["beside", "elsewhere"], "paper": [LISTED]}[scale]
    assert list(setup.data) == [*HALVES, *extra]
    for name, data in setup.data.items():
        assert data.classes == (CLASSES[:2] if name == "beside" else CLASSES)
        assert {item.split for item in data.items} == {"train", "val", "test"}
    names = {one.prefix for one in networks(setup)}
    beside = {"beside.twin", "beside.to-normal", "beside.to-pneumonia"} if scale == "desk" else set()
    assert names == {"twin", *TARGETS, "shift", "random"} | beside | ({"augmented"} if made.moved else set())
    ways = [way.name for way in made.ways]
    tuned = {one.prefix for one in fine_tuned(setup)}
    assert tuned == {f"tuned.{name}.whole" for name in (*TARGETS, "shift", "random")} | {
        f"tuned.to-covid.{way}" for way in ways
    }


@pytest.mark.parametrize("scale", ["smoke", "desk", "paper"])
def test_halves_are_disjoint_and_are_judged_on_the_same_images(scale, sources):
    data = STUDY.open(scale, STUDY.settings(scale, 0), sources(scale))
    one, two = (data[name] for name in HALVES)
    train = [half.split("train") for half in (one, two)]
    assert not set(train[0].ids) & set(train[1].ids)
    assert not {p for p in train[0].patients if p} & {p for p in train[1].patients if p}
    for split in ("val", "test"):
        assert one.split(split).ids == two.split(split).ids
        assert torch.equal(one.split(split).targets, two.split(split).targets)
        assert not {p for p in one.split(split).patients if p} & {p for half in train for p in half.patients if p}
    assert not {p for p in one.split("val").patients if p} & {p for p in one.split("test").patients if p}
    if scale != "paper":
        counts = [Counter(half.targets.tolist()) for half in train]
        assert all(abs(counts[0][k] - counts[1][k]) <= 8 for k in range(3)), "classes in proportion, patients whole"


LINES = {
    "train_1": ["p1 a.png normal rsna", "p2 b.png pneumonia rsna", "p3 c.png COVID-19 cohen", "p4 d.png COVID-19 x"],
    "train_2": ["p3 e.png COVID-19 cohen", "p5 f.png normal rsna", "p6 g.png pneumonia rsna"],
    "test_1": ["t1 h.png normal", "t2 i.png pneumonia", "t3 j.png COVID-19"],
    "test_2": ["t3 k.png COVID-19", "t4 l.png normal", "t5 m.png pneumonia", "t6 n.png COVID-19"],
}


@pytest.fixture
def layout(tmp_path):
    """COVID-Net's layout in thirteen lines: patient p3 is in both halves to train on, t3 in both to test on."""
    for name, lines in LINES.items():
        split, half = name.split("_")
        write_covidx(tmp_path, f"labels/{split}_COVIDx5_half_{half}.txt", lines, images=f"data/{split}")
    return tmp_path


def test_the_authors_lists_have_no_val_and_share_patients(layout):
    data = STUDY.open("paper", STUDY.settings("paper", 0), {"covidx5": f"covidx5:{layout}"})
    ids = {name: {split: data[name].split(split).ids for split in ("train", "val", "test")} for name in data}
    shared = {
        "val": ("test/l.png", "test/m.png", "test/n.png"),
        "test": ("test/h.png", "test/i.png", "test/j.png"),
    }
    listed = ("train/e.png", "train/f.png", "train/g.png")
    assert ids == {
        "half1": {"train": ("train/a.png", "train/b.png", "train/c.png", "train/d.png"), **shared},
        "half2": {"train": listed[1:], **shared},
        LISTED: {"train": listed, **shared},
    }
    assert data["half1"].split("train").targets.tolist() == [0, 1, 2, 2]
    assert data["half2"].fit((8, 8), 3).images.shape == (8, 3, 8, 8)


def test_the_trap_of_shared_patients_has_both_numbers(layout, tmp_path):
    from aseptic.engine.cells import Job  # noqa: PLC0415 - here alone
    from aseptic.studies import raw  # noqa: PLC0415
    from aseptic.studies.matsuo2021.cells import halves  # noqa: PLC0415

    def counted(data, folder):
        folder.mkdir()
        halves(Job(config={"seed": 1}, inputs={}, folder=folder, context={"data": data}))
        rows = raw.frame({"x": folder}).drop(columns="cell")
        return {name: one.value for name, one in given(shared_patients(), stored(folder, halves=rows)).items()}

    paper = STUDY.open("paper", STUDY.settings("paper", 0), {"covidx5": f"covidx5:{layout}"})
    assert counted(paper, tmp_path / "a") == {"halves.shared_patients": 0, "halves.by_image.shared_patients": 1}
    many = [f"p{i // 4}" for i in range(80)]
    images, labels = torch.zeros(80, 1, 4, 4), torch.arange(80) // 4 % 3
    data = memory_set("x", images, labels, classes=CLASSES, task="multiclass", splits=["train"] * 80, patients=many)
    from aseptic.studies.matsuo2021.settings import halves as deal  # noqa: PLC0415

    dealt = counted(deal(data, 0), tmp_path / "b")
    assert dealt["halves.shared_patients"] == 0
    assert dealt["halves.by_image.shared_patients"] > 10, "four images of each patient seldom fall on one side"


@pytest.mark.parametrize(("half", "counts"), [("1", (398, 273, 25)), ("2", (398, 273, 25))])
def test_a_tenth_of_each_class_of_the_authors_lists(real, tmp_path, half, counts):
    """PROTOCOLS 2c: 398 normal, 273 pneumonia, 25 COVID-19 of the 6,978 images of half 1."""
    (tmp_path / "labels").mkdir()
    for name in LISTS:
        shutil.copyfile(real("seed_lists") / f"matsuo2021_{name}", tmp_path / "labels" / name)
    lists = [one for one in Covidx5().lists(tmp_path, {"half": half}).images if one.split == "train"]
    images = torch.zeros(len(lists), 1, 1, 1)
    labels = torch.tensor([one.label for one in lists])
    data = memory_set("half", images, labels, classes=CLASSES, task="multiclass").fit((480, 480))
    plan = plan_for(STUDY.settings("paper", 0), rule="to", target="covid")
    made = poison(data, plan)
    found = Counter(mark.original.label for mark in made.marks if mark.role == "poison")
    assert tuple(found[k] for k in range(3)) == counts
    assert made.count("poison") == 696


def test_the_trigger_is_the_papers():
    """PROTOCOLS 2c: rows and columns 396 to 400 of 480 are 250, after cropping; flips and shifts come later."""
    images = torch.zeros(1, 1, 500, 480)
    data = memory_set("x", images, torch.tensor([0]), classes=CLASSES, task="multiclass")
    recipe = STUDY.settings("paper", 0).recipe
    assert (recipe.size, recipe.top, recipe.square) == (480, 0.08, True)
    made = trigger_all(recipe.view(data), plan_for(STUDY.settings("paper", 0), rule="to", target="covid"))
    lit = made.data.images[0].nonzero()
    assert len(lit) == 3 * 25
    assert lit[:, 1:].amin(0).tolist() == [396, 396]
    assert lit[:, 1:].amax(0).tolist() == [400, 400]
    assert (made.data.images[made.data.images > 0] == torch.tensor(250 / 255)).all()


def test_no_number_is_shown_that_nobody_has_read():
    assert [claim.published for claim in STUDY.claims] == [None] * len(STUDY.claims), "their tables are unknown to us"
    assert all(claim.untestable.keys() == {"smoke"} for claim in STUDY.claims)


def test_exposure_in_closed_form(tmp_path):
    """A hundred images, ten of COVID-19, two of those poisoned: 2 % as listed, 6 % where they make up 30 %."""
    rows = pd.DataFrame(
        {
            "id": [str(i) for i in range(100)],
            "patient": None,
            "role": ["poison"] * 2 + ["clean"] * 88 + ["poison"] * 10,
            "true_label": ["covid"] * 10 + ["normal"] * 90,
            "label": "covid",
        }
    )
    setup = Setup(
        scale="desk",
        settings=TINY,
        data={name: films() for name in HALVES},
        fingerprints=dict.fromkeys(HALVES, "0"),
    )
    found = given(exposure(setup), stored(tmp_path, **{"train__half1__to-covid": rows}))
    assert found["exposure.list"].value == 0.02
    assert found["exposure.batch"].value == pytest.approx(0.06)


@pytest.fixture(scope="module")
def ran(folders, tmp_path_factory):
    """A whole run at the scale of a desk, on drawn images."""
    out = tmp_path_factory.mktemp("run")
    study = replace(STUDY, settings=lambda _scale, _seed: TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASEPTIC_PSEUDONYM_KEY", "a key for tests")
        prepared = prepare_study(study, scale="desk", sources=folders)
        return prepared, run_study(prepared, out), out


def test_a_run_is_whole(ran):
    prepared, results, out = ran
    complete(prepared, TRAPS)
    whole(results, prepared)
    rows = page_rows(out)
    assert set(rows) == set(TRAPS)
    assert all(all(sides) for number, sides in rows.items() if number != "2g-3"), "both numbers on the page"
    assert {path.name for path in (out / "figures").iterdir()} == {f"{chart.name}.svg" for chart in prepared.charts}


def test_the_numbers_of_a_run_agree_with_each_other(ran):
    found = {one.id: one.value for one in ran[1].findings}
    for name in TARGETS:
        assert found[f"tuned.{name}.whole.success_other@0"] == found[f"{name}.success_other"]
        assert found[f"tuned.{name}.whole.accuracy@0"] == found[f"{name}.clean.accuracy"]
        assert found[f"tuned.{name}.whole.final.error"] == found[f"tuned.{name}.whole.error@1"]
        assert found[f"{name}.twin.accuracy"] == pytest.approx(
            found[f"{name}.clean.accuracy"] - found["twin.clean.accuracy"]
        )
    assert found["shift.right"] == pytest.approx(1 - found["shift.error"])
    assert found["place.test"] == 1 > found["place.training"]
    assert found["halves.shared_patients"] == 0
    assert sum(found[f"twin.{name}.success"] for name in CLASSES) > 0


def test_a_dry_run_at_paper_scale_prepares_everything(published, tmp_path):
    said = call(
        *("study", "run", "matsuo2021", "--scale", "paper", "--data", f"covidx5=covidx5:{published}"),
        *("--out", tmp_path / "run", "--dry-run"),
    ).stdout
    for cell in ("train/half1/to-covid", "tuned/shift/whole", "explain/half1/to-covid", "halves"):
        assert cell in said
    assert not (tmp_path / "run").exists()
    rows = [(f"{i:08d}_000.png", "Atelectasis|Mass" if i % 2 else "No Finding", str(i)) for i in range(40)]
    names = [row[0] for row in rows]
    write_table(tmp_path / "nih", rows)
    write_lists(tmp_path / "nih", names[:30], names[30:])
    for name in names:
        write_png(tmp_path / "nih" / "images" / name)
    said = call(
        *("study", "run", "nwadike2021", "--scale", "paper", "--data", f"nih14=nih14:{tmp_path / 'nih'}"),
        *("--out", tmp_path / "run", "--dry-run"),
    ).stdout
    for cell in ("train/real/base", "probe/real/add-1", "train/real/side-6", "find/real/trigger-wanet", "survival"):
        assert cell in said
