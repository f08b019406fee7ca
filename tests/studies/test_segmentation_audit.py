"""A segmentation from end to end: a phantom with masks is learnt, attacked, audited, reported and written."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy import ndimage

from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.models.load import load_model
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.models.training_loop import Watch
from aseptic.report import build
from aseptic.studies.audit.run import audit, dry_run, prepare
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.train import TrainRequest, open_parts, train_on
from aseptic.studies.write_attacked import Request, write_attacked

DATA = "phantom:kidney?n=60&size=32"
REQUEST = TrainRequest(arch="monai:unet?width=8&depth=3", size=32, channels=None, mean=(0.5,), std=(0.25,))
CONFIG = TrainConfig(epochs=10, lr=0.02, batch_size=8, shift=0.0, accelerator="cpu")
SETTINGS = AuditSettings(grey_levels=(4.0, 16.0), reference=16.0, steps=5, chunk=7, examples=2, probes=("segpgd",))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return train_on(open_parts(DATA), REQUEST, CONFIG, folder), folder


@pytest.fixture(scope="module")
def data():
    return load_data(DATA).split("test")


@pytest.fixture(scope="module")
def audited(trained, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit")
    return audit(prepare(load_model(trained[1]), data, SETTINGS), out, settings=SETTINGS), out


def values(results):
    return {one.id: one for one in results.findings}


def frame(out):
    return pq.read_table(out / "rows" / "images.parquet").to_pandas()


def test_training_finds_the_kidneys_and_says_how_well(trained):
    found, folder = trained
    assert found.test["dice:kidney"].value > 0.7
    assert found.result.best.score == "Dice"
    assert found.result.best.val_score == max(one.val_score for one in found.result.epochs)
    assert found.result.offsets == ()
    assert "validation Dice" in found.summary()[0]
    assert any(line.startswith("test dice:tumour: ") for line in found.summary())
    card = load_model(folder)
    assert card.task.name == "segmentation"
    assert card.task.classes == ("background", "kidney", "tumour")


def test_the_test_dice_is_that_of_the_masks(trained, data):
    model = load_model(trained[1])
    with torch.no_grad():
        decided = model(data.images).argmax(1).numpy()
    truth = data.targets.numpy()
    both = ((decided == 1) & (truth == 1)).sum((1, 2))
    sizes = (decided == 1).sum((1, 2)) + (truth == 1).sum((1, 2))
    expected = (2 * both / np.maximum(sizes, 1))[sizes > 0].mean()
    assert trained[0].test["dice:kidney"].value == pytest.approx(expected, abs=1e-6)


class Stop(KeyboardInterrupt):
    pass


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path):
    parts, config = open_parts("phantom:kidney?n=30&size=32"), replace(CONFIG, epochs=3, shift=0.1)

    def stop(epoch):
        if epoch.epoch == 2:
            raise Stop

    request = replace(REQUEST, arch="monai:unet?width=4&depth=2&dropout=0.2")
    train_on(parts, request, config, tmp_path / "whole")
    with pytest.raises(Stop):
        train_on(parts, request, config, tmp_path / "cut", watch=Watch(epoch=stop))
    train_on(parts, request, config, tmp_path / "cut", resume=True)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_every_image_has_its_rows(audited, data):
    results, out = audited
    assert results.failed == []
    rows = frame(out)
    counts = rows.groupby(["condition", "method", "grey_levels", "storage"])["id"].nunique()
    assert (counts == len(data)).all()
    assert len(counts) == 1 + 2 + 2 * 3 + 1 + 2  # clean; FGSM; PGD by storage; SegPGD; noise
    attacked = rows[rows.condition == "attack"]
    assert (attacked.distance <= attacked.grey_levels * (1 + 1e-4)).all()


def test_lesions_in_the_rows_are_the_connected_parts_of_the_masks(audited, data):
    clean = frame(audited[1]).query("condition == 'clean'").set_index("id")
    for i, name in enumerate(data.ids):
        parts = ndimage.label(data.mask(i).numpy() == 2, np.ones((3, 3)))[1]
        assert clean.loc[name, "lesions:tumour"] == parts
        assert clean.loc[name, "missed:tumour"] <= parts
    assert clean["lesions:tumour"].sum() > 0


def test_numbers_are_those_of_the_rows(audited):
    results, out = audited
    rows, found = frame(out), values(results)
    dices = ["dice:kidney", "dice:tumour"]

    def part(method, grey):
        kept = rows[(rows.method == method) & (rows.grey_levels == grey) & (rows.storage == "float")]
        return kept[kept.condition == "attack"].set_index("id").loc[clean.index]

    clean = rows[rows.condition == "clean"].set_index("id")
    assert found["clean.dice"].value == pytest.approx(clean[dices].mean(axis=1).mean())
    assert found["clean.dice:tumour"].value == pytest.approx(clean["dice:tumour"].mean())
    assert found["clean.dice:tumour"].n == clean["dice:tumour"].notna().sum()
    share = clean["missed:tumour"].sum() / clean["lesions:tumour"].sum()
    assert found["clean.missed:tumour"].value == pytest.approx(share)
    assert found["clean.invented:tumour"].value == pytest.approx(clean["invented:tumour"].mean())
    pgd = part("pgd", 16.0)
    assert found["class.pgd.dice:kidney@16"].value == pytest.approx(pgd["dice:kidney"].mean())
    everything = [clean, *(part(method, grey) for method in ("fgsm", "pgd") for grey in (4.0, 16.0))]
    everything.append(part("segpgd", 16.0))
    lowest = np.fmin.reduce([one[dices].mean(axis=1) for one in everything])
    assert found["curve.worst.dice@16"].value == pytest.approx(np.nanmean(lowest))
    assert found["probe.segpgd.dice@16"].value == pytest.approx(part("segpgd", 16.0)[dices].mean(axis=1).mean())
    before = clean[dices].mean(axis=1)
    assert found["curve.worst.lost@16"].value == pytest.approx(np.nansum(before - lowest) / np.nansum(before))
    held = clean.eligible & ~clean.success
    fell = np.logical_or.reduce([one.success for one in everything])
    assert found["curve.worst.turned@16"].value == pytest.approx((held & fell).sum() / held.sum())


def test_success_is_a_mean_dice_below_one_half(audited):
    rows = frame(audited[1])
    told = rows[["dice:kidney", "dice:tumour"]].mean(axis=1)
    judged = rows.eligible & (rows.condition == "attack")
    assert (rows.success[judged] == (told[judged] < 0.5)).all()


def test_the_attack_does_more_than_its_shuffled_self(audited):
    found = values(audited[0])
    assert found["clean.dice:kidney"].value > 0.7
    assert found["curve.worst.lost@16"].value > 0.15
    assert found["curve.worst.dice@16"].value <= found["curve.worst.dice@4"].value
    assert found["noise.dice_drop@16"].value < 0.1
    assert found["verdict"].severity in {"medium", "high", "critical"}
    text = " ".join(found["verdict"].args["text"])
    assert "brings the mean Dice below 0.5" in text
    assert "The mean Dice falls from" in text


def test_what_makes_no_sense_for_masks_is_skipped_with_its_reason(audited):
    absent = {one.id: one.reason for one in audited[0].skipped}
    assert "a segmentation has one for every place" in absent["explain"]
    assert "--battery" not in absent["query"]
    assert not any(one.id.startswith("drift") for one in audited[0].findings)


def test_the_page_shows_structures_and_outlines(audited):
    page = build(audited[1]).read_text()
    for said in ("Damage by structure", "Missed lesions", "Truth: kidney orange, tumour blue", "Mean Dice", "SegPGD"):
        assert said.lower() in page.lower()
    for other in ("AUROC", "Calibration", "operating point</caption>", "Right decisions"):
        assert other not in page
    told = json.loads((audited[1] / "figures" / "examples.json").read_text())
    assert len(told) == 2
    assert {"kidney"} <= set(told[0]["truth"].split("|"))
    assert (audited[1] / "figures" / "ex0_more_truth.png").is_file()


def test_resume_computes_nothing_twice_and_the_seed_decides(trained, data, audited, tmp_path):
    prepared, states = prepare(load_model(trained[1]), data, SETTINGS), []
    again = audit(prepared, audited[1], settings=SETTINGS, resume=True, watch=lambda one: states.append(one.state))
    assert set(states) == {"reused"}
    assert again.findings == audited[0].findings
    assert audit(prepared, tmp_path, settings=SETTINGS).findings == again.findings
    assert not any(line.cell.name.startswith("explain") for line in dry_run(prepared[1], tmp_path))


@pytest.mark.parametrize(
    ("goal", "said"),
    [("erase:kidney", "erases more than 0.9 of 'kidney'"), ("relabel:kidney:tumour", "relabels more than 0.9")],
)
def test_goals_on_one_structure(trained, data, tmp_path, goal, said):
    settings = SETTINGS.model_copy(update={"goal": goal, "examples": 0, "attacks": ("pgd",), "probes": ()})
    results = audit(prepare(load_model(trained[1]), data, settings), tmp_path, settings=settings)
    found = values(results)
    assert results.failed == []
    assert said in found["verdict"].args["text"][0]
    shown = [bool((data.mask(i) == 1).any()) for i in range(len(data))]
    clean = frame(tmp_path).query("condition == 'clean'")
    assert clean.eligible.tolist() == shown
    assert found["curve.pgd.success@16"].n == sum(shown) - int(clean.success.sum())
    assert found["curve.pgd.success@16"].value == found["curve.worst.turned@16"].value


def test_an_image_without_the_structure_is_not_attacked(trained, data, tmp_path):
    settings = SETTINGS.model_copy(update={"goal": "erase:tumour", "examples": 0, "attacks": ("fgsm",), "probes": ()})
    audit(prepare(load_model(trained[1]), data, settings), tmp_path, settings=settings)
    rows = frame(tmp_path)
    without = {name for i, name in enumerate(data.ids) if not bool((data.mask(i) == 2).any())}
    assert 0 < len(without) < len(data)
    left = rows[rows.id.isin(without) & (rows.condition == "attack")]
    assert (left.distance == 0).all()
    assert not left.success.any()


def test_images_without_masks_are_audited_against_the_clean_segmentation(trained, data, tmp_path):
    bare = memory_set("bare", data.images)
    results = audit(prepare(load_model(trained[1]), bare, SETTINGS), tmp_path, settings=SETTINGS)
    found = values(results)
    assert not any(name.startswith("clean.") for name in found)
    assert "takes the place of the truth" in " ".join(found["verdict"].args["text"])
    assert {one.id for one in results.skipped} >= {"clean"}


def test_a_model_that_is_useless_before_the_attack(data, tmp_path):
    network = torch.nn.Conv2d(1, 3, 1)
    torch.nn.init.zeros_(network.weight)
    network.bias.data = torch.tensor([5.0, 0.0, 0.0])
    subject = Subject(network, task="segmentation", classes=["background", "kidney", "tumour"], channels=1).eval()
    settings = SETTINGS.model_copy(update={"probes": (), "examples": 1})
    results = audit(prepare(subject, data, settings), tmp_path, settings=settings)
    found = values(results)
    assert found["clean.dice"].value == 0
    assert found["curve.worst.turned@16"].value is None
    assert found["verdict"].args["text"][0].startswith("Nothing could be turned")
    assert found["verdict"].severity == "info"
    build(tmp_path)


def test_one_image(trained, data, tmp_path):
    results = audit(prepare(load_model(trained[1]), data.select([0]), SETTINGS), tmp_path, settings=SETTINGS)
    found = values(results)
    assert results.failed == []
    assert found["clean.dice"].n == 1
    assert found["clean.dice"].ci_high - found["clean.dice"].ci_low > 0.5


def test_attacked_images_are_a_data_set_with_its_masks(trained, data, tmp_path):
    model = load_model(trained[1])
    written = write_attacked(
        model, data.select(range(4)), Request(attack="pgd", options={"stop": False}, eps=24 / 255), tmp_path
    )
    again = load_data(tmp_path, task="segmentation", classes=data.classes)
    assert len(again) == 4
    assert torch.equal(again.targets, data.select(range(4)).targets)
    with written.manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))

    def total(column):
        return sum(float(one.rpartition(" ")[2]) for row in rows for one in row[column].split(", "))

    assert total("attacked_decision") < 0.9 * total("clean_decision")
    assert total("stored_decision") == pytest.approx(total("attacked_decision"), abs=0.2)


def test_volumes_from_end_to_end(tmp_path):
    axes = np.stack(np.meshgrid(*(np.arange(12),) * 3, indexing="ij"))
    rng = np.random.default_rng(1)
    centres = rng.integers(4, 8, (12, 3))
    masks = np.stack([(((axes - c[:, None, None, None]) ** 2).sum(0) < 9).astype(int) for c in centres])
    images = (0.3 + 0.4 * masks[:, None] + 0.05 * rng.random((12, 1, 12, 12, 12))).astype(np.float32)
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    data = memory_set("balls", images, masks=masks, task="segmentation", classes=["background", "ball"], splits=splits)
    request = replace(REQUEST, arch="monai:unet?width=4&depth=2", size=(12, 12, 12))
    config = replace(CONFIG, epochs=3, batch_size=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aseptic.studies.train.load_data", lambda *_, **__: data)
        found = train_on(open_parts("balls"), request, config, tmp_path / "model")
    assert found.test["dice:ball"].value > 0.6
    settings = SETTINGS.model_copy(update={"examples": 1, "probes": ()})
    prepared = prepare(load_model(tmp_path / "model"), data.split("test"), settings)
    assert prepared[0].targets.shape == (4, 12, 12, 12)
    results = audit(prepared, tmp_path / "run", settings=settings)
    assert results.failed == []
    assert values(results)["class.worst.dice:ball@16"].value < found.test["dice:ball"].value
    assert "outlines" in build(tmp_path / "run").read_text()
