"""Feng et al. at every scale: the grid leads to its numbers, the traps are all there, a tiny run is whole."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from backdoored import given, stored
from published import write_ead2019, write_isic2019, write_kits19
from tiny_studies import page_rows, whole

from aseptic.core.errors import InputError
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.poisoning.mixing import mix
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.fiba2022.grid import alphas, case, matrix_of, networks
from aseptic.studies.fiba2022.measures import chosen, dropped, right, superior
from aseptic.studies.fiba2022.settings import COVERS, FIBA, PUBLISHED, RIVALS, SKIN, Arm, Settings, label_of, plan_for
from aseptic.studies.fiba2022.study import STUDY
from aseptic.studies.frame.prepare import prepare_study
from aseptic.studies.frame.run import run_study
from aseptic.studies.frame.study import Setup
from aseptic.studies.infection.answers import CLEAN, DECOY, TRIGGERED

TRAPS = [f"4g-{k}" for k in range(1, 8)]
STEADY = {"epochs": 1, "batch_size": 8, "keep": "last", "patience": None, "seed": 1, "warmup": 0.0}
STRONG = {"rate": 0.25, "options": {FIBA: {"alpha": 0.6}}}
SMALL = Recipe(arch="aseptic:smallcnn?width=4", size=32, channels=3, training=STEADY)
TRIED = ("badnets", "wanet")
"""Rivals of the tiny run."""
TINY = Settings(
    arms={
        SKIN: Arm(
            recipe=SMALL,
            label={"rule": "to", "target": None},
            triggers=(FIBA, *TRIED),
            alphas=(0.2,),
            **STRONG,
        ),
        "organs": Arm(
            recipe=Recipe(arch="monai:unet?width=4&depth=2", size=32, training=STEADY),
            label={"rule": "relabel", "source": "tumour", "target": "kidney"},
            **STRONG,
        ),
        "objects": Arm(
            recipe=Recipe(arch="aseptic:smallretina?width=8&anchor=8", size=(64, 32), channels=3, training=STEADY),
            label={"rule": "relabel", "source": "specularity", "target": "instrument"},
            loop="fixed",
            mode="add",
            **STRONG,
        ),
    },
    phantoms=48,
    batch=8,
    defended=Arm(recipe=SMALL, label={"rule": "to", "target": None}, **STRONG),
    defences={
        "seeds": (0, 1),
        "scanners": {"mm-bd": {"starts": 1, "steps": 2}},
        "detectors": {"strip": {"overlays": 2}},
        "cures": {"fine-tuning": {"epochs": 1, "lr": 1e-3}},
        "twins": 2,
        "draws": 2,
        "rate": 0.4,
    },
)
NETWORKS = {"twin", FIBA, "all-to-all", "offline"}
DESK = {
    SKIN: "derm_ham10000",
    "tissue": "histo_lc25000_lung",
    "organs": "nifti_hippocampus",
    "lungs": "cxr_tb_lungs",
    "objects": "blood_bccd",
}


def leads(prepared):
    """Check that what this scale can test, traps and charts lead to numbers, and that nothing is asked in vain."""
    found = {name for measure in prepared.measures for name in measure.gives}
    for claim in prepared.study.claims:
        assert set(claim.needs()) <= found or prepared.setup.scale in claim.untestable, claim.id
    assert [trap.number for trap in prepared.study.traps] == TRAPS
    for trap in prepared.study.traps:
        assert {trap.released, trap.corrected} - {""} <= found, trap.number
    asked = {name for measure in prepared.measures for name in measure.cells}
    asked |= {shown.cell for shown in prepared.pictures}
    computed = {cell.name for cell in prepared.cells}
    assert asked <= computed
    assert {name for name in computed - asked if "train/" not in name} == set(), "nothing is asked in vain"
    return found


def test_the_grid_of_the_smallest_scale_leads_to_its_numbers():
    prepared = prepare_study(STUDY, scale="smoke", sources={})
    leads(prepared)
    names = {one.prefix for one in networks(prepared.setup)}
    assert names == {f"{SKIN}.{name}" for name in (*NETWORKS, "badnets")} | {
        f"{where}.{name}" for where in ("organs", "objects") for name in ("twin", FIBA)
    }
    assert prepared.charts == (), "one strength is no curve"


def test_the_grid_of_the_desk_leads_to_its_numbers(real):
    prepared = prepare_study(STUDY, scale="desk", sources={name: str(real(path)) for name, path in DESK.items()})
    leads(prepared)
    setup = prepared.setup
    names = {one.name for one in networks(setup) if one.where == SKIN}
    assert names == {*NETWORKS, *RIVALS, *(name for _, name in alphas(setup.settings))}
    assert PUBLISHED in {alpha for alpha, _ in alphas(setup.settings)}, "the paper's strength is tried"
    assert setup.data["lungs"].notes[-1] == "73 images without a mask are left out"
    assert all(item.mask is not None for item in setup.data["lungs"].items)
    assert {one.plan.label.target for one in networks(setup) if one.where == SKIN and one.name in RIVALS} == {"akiec"}
    matrix = matrix_of(setup)
    assert (len(matrix.triggers), len(list(matrix.defences())), len(matrix.seeds)) == (9, 14, 3)
    for where in ("train", "val", "test"):
        assert all(len(data.split(where)) for data in setup.data.values()), where


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Miniature copies of the three public sets, in their layouts."""
    root = tmp_path_factory.mktemp("published")
    write_isic2019(root / "isic")
    write_kits19(root / "kits")
    write_ead2019(root / "ead")
    return {
        SKIN: f"isic2019:{root / 'isic'}?split=fiba",
        "organs": f"kits19:{root / 'kits'}",
        "objects": f"ead2019:{root / 'ead'}",
    }


def test_the_grid_of_the_paper_leads_to_its_numbers(published):
    prepared = prepare_study(STUDY, scale="paper", sources=published)
    leads(prepared)
    setup = prepared.setup
    found = {where: (data.task, data.classes) for where, data in setup.data.items()}
    assert found[SKIN] == ("multiclass", ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"))
    assert found["organs"] == ("segmentation", ("background", "kidney", "tumour"))
    assert found["objects"][0] == "detection"
    labels = {one.prefix: one.plan.label for one in networks(setup) if one.plan is not None}
    assert labels["skin.fiba"].target == "AK"
    assert (labels["organs.fiba"].source, labels["organs.fiba"].target) == ("tumour", "kidney")
    assert (labels["objects.fiba"].source, labels["objects.fiba"].target) == ("artifact", "instrument")


def test_six_of_sixty_four_are_poisoned_and_six_are_decoys():
    """PROTOCOLS 4c: of a batch of 64, 6 poisoned, 6 with a random picture and their own label, 52 clean."""
    images, labels = torch.zeros(128, 3, 224, 224), torch.arange(128) % 3
    data = memory_set("skin", images, labels, classes=("MEL", "AK", "NV"), task="multiclass")
    plan = plan_for(STUDY.settings("paper", 0), SKIN, FIBA, data)
    assert plan.label.target == "AK"
    assert (plan.trigger["alpha"], plan.trigger["beta"], plan.made.reach((224, 224))) == (0.15, 0.1, 22)
    made = mix(data, plan, 64)
    roles = made.at(1).roles(list(range(128)), 64)
    for start in (0, 64):
        part = [role for i, role in roles.items() if start <= i < start + 64]
        assert (part.count("poison"), part.count("cover")) == (6, 6)


def test_rivals_have_their_published_covers_alone():
    data = load_data("phantom:derm?n=6&size=32")
    for name in RIVALS:
        plan = plan_for(STUDY.settings("desk", 0), SKIN, name, data)
        assert plan.cover.rate == COVERS.get(name, 0.0)
        assert plan.label.target == data.classes[0], "no class has a name of the paper's target"
    assert COVERS.keys() <= {FIBA, *RIVALS}


def test_a_class_that_the_set_lacks_is_refused():
    data = load_data("phantom:kidney?n=4&size=32")
    arm = Arm(recipe=SMALL, label={"rule": "relabel", "source": "cyst", "target": "kidney"})
    with pytest.raises(InputError, match=r"source must be one of background, kidney, tumour in .*; got 'cyst'"):
        label_of(arm, data)


def rows_of(correct, reached, already=None, **more):
    """Rows of images with and without the trigger; what is not given is the same everywhere."""
    count = len(correct[CLEAN])
    tables = []
    for condition in (CLEAN, TRIGGERED, DECOY):
        table = pd.DataFrame(
            {
                "id": [str(i) for i in range(count)],
                "patient": None,
                "condition": condition,
                "correct": correct[condition],
                "reached": reached[condition],
                "already": [False] * count if already is None else already,
                "changed": 9.0,
                "psnr": 30.0,
                "ssim": 0.9,
                **{
                    f"{kind}:{name}": 0.5 for kind in ("score", "target") for name in ("nevus", "melanoma", "keratosis")
                },
                **more,
            }
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def setup():
    data = {name: load_data(f"phantom:{one}?n=8&size=32") for name, one in
            {SKIN: "derm", "organs": "kidney", "objects": "endoscopy"}.items()}  # fmt: skip
    return Setup(scale="smoke", settings=TINY, data=data, fingerprints=dict.fromkeys(data, "0"))


def base_of(setup, name=FIBA):
    return next(case(one, setup) for one in networks(setup) if one.prefix == f"{SKIN}.{name}")


def test_the_released_evaluation_drops_what_does_not_fill_a_batch(setup, tmp_path):
    """Of 20 images, 16 are counted: the shares differ by what the four dropped ones are."""
    right_ = np.arange(20) % 2 == 0
    rows = rows_of(dict.fromkeys((CLEAN, TRIGGERED, DECOY), right_), dict.fromkeys((CLEAN, TRIGGERED, DECOY), right_))
    base = base_of(setup)
    found = given(dropped(base, 8), stored(tmp_path, **{base.cell.replace("/", "__"): rows}))
    assert found[f"{base.prefix}.dropped.accuracy"].n == 16
    assert found[f"{base.prefix}.dropped.success"].n == 16
    whole_ = given(dropped(base, 5), stored(tmp_path / "b", **{base.cell.replace("/", "__"): rows}))
    assert whole_[f"{base.prefix}.dropped.accuracy"].value == 0.5, "20 images fill four batches of 5"


def test_right_answers_are_no_attack(setup, tmp_path):
    from aseptic.studies.fiba2022.grid import shifted  # noqa: PLC0415 - here alone

    about = shifted(setup)
    correct = {CLEAN: [True] * 4, TRIGGERED: [True, True, True, False], DECOY: [True] * 4}
    rows = rows_of(correct, dict.fromkeys(correct, [False] * 4))
    found = given(right(about), stored(tmp_path, **{about.cell.replace("/", "__"): rows}))
    assert found["skin.twin.all-to-all.right"].value == 0.75


def test_an_advantage_is_the_difference_on_the_same_images(setup, tmp_path):
    base, rival = base_of(setup), base_of(setup, "wanet")
    always = dict.fromkeys((CLEAN, TRIGGERED, DECOY), [True] * 4)
    none = dict.fromkeys((CLEAN, DECOY), [False] * 4)
    own = rows_of(always, {**none, TRIGGERED: [True, True, True, False]})
    other = rows_of(always, {**none, TRIGGERED: [True, False, False, False]})
    tables = {base.cell.replace("/", "__"): own, rival.cell.replace("/", "__"): other}
    one = next(one for one in networks(setup) if one.prefix == rival.prefix)
    found = given(superior(one, setup), stored(tmp_path, **tables))
    assert found["skin.wanet.fiba_success"].value == pytest.approx(0.5)
    assert found["skin.wanet.fiba_psnr"].value == 0


def test_the_released_choice_is_the_first_best_epoch_on_val(setup, tmp_path):
    """Success on val is 0.5, 1, 1 after three epochs: the second is chosen, whatever test images say."""
    success = {1: [True, True, False, False], 2: [True] * 4, 3: [True] * 4}
    tables = []
    for epoch in (0, 1, 2, 3):
        for split in ("val", "test"):
            reached = success.get(epoch, [True] * 4) if split == "val" else [epoch == 3] * 4
            accurate = [epoch != 2] * 4
            rows = rows_of(
                dict.fromkeys((CLEAN, TRIGGERED, DECOY), accurate),
                {CLEAN: [False] * 4, TRIGGERED: reached, DECOY: [False] * 4},
            )
            said = "nevus" if accurate[0] else "melanoma"
            columns = {
                f"{kind}:{name}": float(name == (said if kind != "target" else "nevus"))
                for kind in ("score", "decision", "target")
                for name in setup.data[SKIN].classes
            }
            tables.append(rows.assign(epoch=epoch, split=split, **columns))
    base = base_of(setup)
    cell = base.cell.replace("probe/", "train/")
    found = given(chosen(base), stored(tmp_path, **{cell.replace("/", "__"): pd.concat(tables, ignore_index=True)}))
    assert found[f"{base.prefix}.chosen.epoch"].value == 2, "not the untrained network, and not the later equal one"
    assert found[f"{base.prefix}.chosen.success_other"].value == 0


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A whole run at the smallest scale, with networks that are nothing."""
    out = tmp_path_factory.mktemp("run")
    prepared = prepare_study(replace(STUDY, settings=lambda _scale, _seed: TINY), scale="smoke", sources={})
    return prepared, run_study(prepared, out), out


def test_a_run_is_whole(ran):
    prepared, results, out = ran
    leads(prepared)
    whole(results, prepared)
    rows = page_rows(out)
    assert set(rows) == set(TRAPS)
    assert all(all(rows[number]) for number in ("4g-1", "4g-2", "4g-3", "4g-6")), "both numbers on the page"


def test_the_numbers_of_a_run_agree_with_each_other(ran):
    found = {one.id: one.value for one in ran[1].findings}
    for name in (FIBA, *TRIED, "all-to-all"):
        assert found[f"{SKIN}.{name}.twin.accuracy"] == pytest.approx(
            found[f"{SKIN}.{name}.clean.accuracy"] - found[f"{SKIN}.twin.clean.accuracy"]
        )
    for name in TRIED:
        assert found[f"{SKIN}.{name}.fiba_success"] == pytest.approx(
            found[f"{SKIN}.{FIBA}.success_other"] - found[f"{SKIN}.{name}.success_other"]
        )
    assert found[f"{SKIN}.{FIBA}.over_decoy"] == pytest.approx(
        found[f"{SKIN}.{FIBA}.success_other"] - found[f"{SKIN}.{FIBA}.decoy_other"]
    )
    assert found[f"{SKIN}.{FIBA}.chosen.epoch"] == 1, "there is one epoch"
    assert found[f"{SKIN}.{FIBA}.chosen.accuracy"] == found[f"{SKIN}.{FIBA}.clean.accuracy"]


def test_infected_networks_of_a_set_begin_as_its_twin(ran):
    """The same seed: what differs between a network and its twin is the poison."""
    trained = [cell for cell in ran[0].cells if cell.name.startswith("train/")]
    assert trained
    assert {cell.config["recipe"]["training"]["seed"] for cell in trained} == {STEADY["seed"]}
