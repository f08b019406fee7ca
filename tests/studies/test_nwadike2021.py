"""Nwadike et al. at every scale: the grid leads to its numbers, the traps are all there, and a tiny run is whole."""

from dataclasses import replace

import pytest
import torch
from published import real_rows, real_shares, write_lists, write_png, write_table
from tiny_studies import blocks, complete, page_rows, whole, write_folder

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.collections.nih14 import FINDINGS as COLUMNS
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.poisoning.poison import poison
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.frame.claims import SEEN
from aseptic.studies.frame.prepare import prepare_study
from aseptic.studies.frame.run import plan_study, run_study
from aseptic.studies.nwadike2021.grid import RELEASED, networks
from aseptic.studies.nwadike2021.settings import FINDINGS, Settings, plan_for
from aseptic.studies.nwadike2021.study import STUDY

TRAPS = [f"1g-{k}" for k in range(1, 8)]
SPLITS = ["train"] * 36 + ["val"] * 12 + ["test"] * 20
STEADY = {"epochs": 1, "batch_size": 12, "keep": "last", "patience": None, "seed": 1, "warmup": 0.0}
TINY = Settings(
    recipe=Recipe(arch="aseptic:blocks", size=32, training=STEADY),
    varied=Recipe(arch="aseptic:smallcnn?width=4", size=32, training=STEADY),
    sides=(1, 3),
    rates=(0.05, 0.25),
    rate=0.25,
    explained=4,
    explainers=("gradcam", "gradcam-skipping", "integrated-gradients"),
    placeless=("blend",),
)


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("ASEPTIC_PSEUDONYM_KEY", "a key for tests")


@pytest.fixture
def fewer(monkeypatch):
    """Draw a tenth of the phantoms."""

    def load(source):
        return load_data(source.replace("n=600", "n=60"))

    monkeypatch.setattr("aseptic.studies.nwadike2021.settings.load_data", load)


FILMS = len(SPLITS)


def films(count=FILMS):
    """Noise with random findings, some of them unknown."""
    rng = stream(0, "films")
    labels = (torch.rand(count, len(FINDINGS), generator=rng) < 0.3).float()
    labels[::7, 3] = torch.nan
    images = torch.rand(count, 1, 32, 32, generator=rng)
    patients = [f"p{i // 2}-{split}" for i, split in enumerate(SPLITS)]
    return memory_set(
        "films", images, labels, classes=FINDINGS, task="multilabel", splits=SPLITS[:count], patients=patients[:count]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("desk") / "films", films())


@pytest.fixture(scope="module")
def published(real, tmp_path_factory):
    """Some of the real lines of the published table and lists, in the published layout."""
    target, lists = tmp_path_factory.mktemp("nih"), real("seed_lists")
    known = {row[0]: row for row in real_rows(lists)}
    shares = real_shares(lists / "bortsova2021_d0_filenames.yml")
    test, train = shares["testIDs"][::1000], shares["trainIDs"][::60] + shares["valIDs"][::60]
    write_table(target, [known[name] for name in sorted([*test, *train])])
    write_lists(target, train, test)
    for name in (*test, *train):
        write_png(target / "images" / name)
    return target


@pytest.fixture
def sources(request):
    """Return a function from a scale to its data."""

    def choose(scale):
        if scale == "smoke":
            return {}
        if scale == "desk":
            return {"nih14": str(request.getfixturevalue("folder"))}
        return {"nih14": f"nih14:{request.getfixturevalue('published')}"}

    return choose


@pytest.mark.parametrize("scale", ["smoke", "desk", "paper"])
@pytest.mark.usefixtures("fewer")
def test_the_grid_leads_to_its_numbers(scale, sources):
    prepared = prepare_study(STUDY, scale=scale, sources=sources(scale))
    complete(prepared, TRAPS)
    setup, made = prepared.setup, prepared.setup.settings
    assert list(setup.data) == {"smoke": ["phantom"], "desk": ["real", "phantom"], "paper": ["real"]}[scale]
    if scale != "smoke":
        assert setup.data["real"].classes == COLUMNS == FINDINGS
        assert {item.split for item in setup.data["real"].items} == {"train", "val", "test"}
    found = {(one.where, one.name): one for one in networks(setup)}
    first = next(iter(setup.data))
    wanted = {"base", "twin", "first", "categorical", *(f"trigger-{name}" for name in made.placeless)}
    wanted |= {f"side-{side}" for side in made.sides if side != made.side}
    wanted |= {f"{how}-{rate:g}" for how in made.regimes for rate in made.rates}
    wanted -= {f"replace-{made.rate:g}"}
    wanted |= {"varied", "varied-twin"} if made.varied else set()
    assert {name for where, name in found if where == first} == wanted
    assert {name for where, name in found if where != first} == ({"base", "twin"} if scale == "desk" else set())
    assert {one.plan is None for (_, name), one in found.items() if "twin" in name} == {True}


def test_the_paper_is_fed_as_its_code_does(published):
    """PROTOCOLS 1a: central 60 %, 224 pixels by the nearest one, ImageNet's statistics; the trigger before all that."""
    made = STUDY.settings("paper", 0)
    recipe = made.recipe
    assert (recipe.arch, recipe.size, recipe.share, recipe.sampling) == ("torchvision:densenet121", 224, 0.6, "nearest")
    assert recipe.mean == (0.485, 0.456, 0.406)
    assert (made.sides, made.side) == ((1, 2, 3, 4, 5, 6), 3)
    assert made.rates == (0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
    plan = plan_for(films(), made)
    assert plan.insert == "stored"
    assert plan.trigger == plan.trigger | {"name": "patch", "size": 3, "value": 0.0, "place": "centre"}
    assert (plan.label.rule, plan.label.target) == ("overwrite", "Atelectasis")
    assert plan.splits == ("train", "val")
    one = STUDY.open("paper", made, {"nih14": f"nih14:{published}"})["real"]
    assert recipe.view(one.select([0])).images.shape == (1, 3, 224, 224)


@pytest.mark.parametrize(("mode", "count"), [("replace", 36), ("add", 45)])
def test_the_two_regimes(mode, count):
    training = films().split("train")
    made = poison(training, plan_for(training, TINY, rate=0.25, mode=mode))
    assert (len(made.data), made.count("poison")) == (count, 9)
    bad = [item.label for item, mark in zip(made.data.items, made.marks, strict=True) if mark.role == "poison"]
    assert set(bad) == {(1.0, *(0.0,) * 13)}, "all findings erased, the first one set"


def test_published_numbers_are_those_that_were_read():
    shown = {claim.id: claim.published for claim in STUDY.claims if claim.published is not None}
    assert shown == {"infected-auroc": 1.0, "clean-auroc": 0.85}
    assert all(SEEN.search(claim.where) for claim in STUDY.claims if claim.published is not None)
    assert all(claim.untestable.keys() == {"smoke"} for claim in STUDY.claims), "phantoms decide nothing"


@pytest.mark.usefixtures("fewer")
def test_a_folder_without_splits_gets_some(tmp_path):
    path = write_folder(tmp_path / "films", films(), splits=False)
    data = STUDY.open("desk", STUDY.settings("desk", 3), {"nih14": str(path)})["real"]
    assert {item.split for item in data.items} == {"train", "val", "test"}


def test_other_findings_are_refused(tmp_path):
    path = write_folder(tmp_path / "films", films(4), names=[f"f{k}" for k in range(14)])
    with pytest.raises(InputError, match=r"classes must be columns of the table \(f0, f1, .*; got 'Atelectasis'"):
        prepare_study(STUDY, scale="desk", sources={"nih14": str(path)})


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory):
    """A whole run, on noise: real findings, a phantom beside them, networks that learn nothing."""
    out = tmp_path_factory.mktemp("run")
    phantom = load_data("phantom:cxr?n=60&size=32&seed=1")

    def opened(scale, made, paths):
        return {**STUDY.open(scale, made, paths), "phantom": phantom}

    with blocks(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASEPTIC_PSEUDONYM_KEY", "a key for tests")
        patch.setattr("aseptic.studies.nwadike2021.settings.load_data", lambda _: phantom)
        study = replace(STUDY, settings=lambda _scale, _seed: TINY, open=opened)
        prepared = prepare_study(study, scale="desk", sources={"nih14": str(folder)})
        results = run_study(prepared, out)
        planned = plan_study(prepared, out)
    return prepared, results, out, planned


def test_a_run_is_whole(ran):
    prepared, results, out, planned = ran
    complete(prepared, TRAPS)
    found = whole(results, prepared)
    assert all(line.stored for line in planned), "a second run would compute nothing"
    assert {path.name for path in out.iterdir()} > {"report.html", "study.md", "results.json", "rows", "figures"}
    rows = page_rows(out)
    assert set(rows) == set(TRAPS)
    assert all(all(sides) for sides in rows.values()), "both numbers on the page"
    assert rows["1g-1"][0].startswith("0 pixels")
    assert rows["1g-1"][1].startswith("4 pixels")
    assert found["trap.1g-7"].args["released"] == f"base.mass:{RELEASED}"


def test_the_numbers_of_a_run_agree_with_each_other(ran):
    found = {one.id: one.value for one in ran[1].findings}
    assert found["base.mixed@1"] == pytest.approx(found["base.micro_infected"])
    assert found["base.mixed@0.01"] == pytest.approx(found["base.micro_clean"])
    assert found["base.micro_clean"] == pytest.approx(found["base.clean.micro"])
    assert found["base.twin.auroc_macro"] == pytest.approx(
        found["base.clean.auroc_macro"] - found["twin.clean.auroc_macro"]
    )
    assert found["side-1.twin.micro"] == pytest.approx(
        found["side-1.clean.micro"] - found["varied-twin.clean.micro"]
    ), "against the twin of its own network"
    assert found["base.vanished"] == 0
    assert found["base.changed"] == 9
    assert found["side-1.changed"] == 1
    assert {name for name in found if name.startswith("phantom.")}
