"""Models in: every source gives the same logits, and what does not fit is said."""

import csv

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from aseptic.core.errors import InputError, RefusedError
from aseptic.core.rng import stream
from aseptic.models.archs import build
from aseptic.models.card import read_card
from aseptic.models.load import load_model
from aseptic.models.save import save_model, weights_sha256
from aseptic.models.subject import Subject
from aseptic.models.unwrap import FromProbabilities
from aseptic.tasks.multilabel import MultiLabel

ARCH = "aseptic:smallcnn?width=4"
FACTS = {"arch": ARCH, "task": "multiclass", "classes": ["normal", "ill"], "channels": 1, "size": 16}
IMAGES = torch.rand(3, 1, 16, 16, generator=stream(0, "images"))


@pytest.fixture
def network():
    return build(ARCH, outputs=2, channels=1, seed=1).eval()


@pytest.fixture
def subject(network):
    task = MultiLabel(classes=("a", "b"), offsets=(0.25, -1.5))
    return Subject(network, task=task, channels=1, size=16, mean=0.5, std=0.25, architecture=ARCH, name="x").eval()


def test_a_folder_gives_back_what_was_saved(tmp_path, subject):
    card = save_model(subject, tmp_path / "m", source="a test", training={"epochs": 3, "val_score": 0.9})
    again = load_model(tmp_path / "m")
    assert torch.equal(again(IMAGES), subject(IMAGES))
    assert (again.task, again.spec, again.architecture, again.name) == (subject.task, subject.spec, ARCH, "m")
    assert not again.training
    assert read_card(tmp_path / "m" / "model.yaml") == card
    assert weights_sha256(again) == weights_sha256(subject) == card.sha256
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["model.safetensors", "model.yaml"]


def test_probabilities_survive_a_folder(tmp_path, subject, network):
    class Sigmoid(torch.nn.Sequential):
        pass

    wrapped = Subject(
        FromProbabilities(network, task="multilabel"), task=subject.task, channels=1, architecture=ARCH
    ).eval()
    save_model(wrapped, tmp_path)
    assert isinstance(load_model(tmp_path).module, FromProbabilities)
    assert weights_sha256(wrapped) == weights_sha256(subject)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_probabilities_become_logits(task):
    logits = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 0.0, 4.0]])
    squash = torch.nn.Softmax(1) if task == "multiclass" else torch.nn.Sigmoid()
    found = FromProbabilities(squash, task=task)(logits)
    wanted = logits.log_softmax(1) if task == "multiclass" else logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert FromProbabilities(squash, task=task)(200 * logits).isfinite().all()


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
@pytest.mark.parametrize("nested", [None, "state_dict"])
def test_a_state_dict_gives_the_same_logits(tmp_path, network, prefix, nested):
    state = {prefix + name: value for name, value in network.state_dict().items()}
    torch.save({nested: state} if nested else state, tmp_path / "m.pth")
    found = load_model(tmp_path / "m.pth", **FACTS)
    assert torch.equal(found(IMAGES), network(IMAGES))
    assert (found.name, found.architecture, found.training) == ("m", ARCH, False)


def test_half_precision_and_absent_counters(tmp_path, network):
    state = {n: v.half() for n, v in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "m.safetensors")
    found = load_model(tmp_path / "m.safetensors", **FACTS)(IMAGES)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, network(IMAGES), rtol=0.02, atol=0.02)


def test_the_head_takes_the_widths_of_the_file(tmp_path):
    network = build("torchvision:mobilenet_v3_small", outputs=2).eval()
    network.classifier[0], network.classifier[3] = torch.nn.Linear(576, 20), torch.nn.Linear(20, 2, bias=False)
    save_file(network.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"1 of its \d+ tensors are missing \(classifier.3.bias\)"):
        load_model(tmp_path / "m.safetensors", arch="torchvision:mobilenet_v3_small", task="multiclass", classes="ab")
    network.classifier[3] = torch.nn.Linear(20, 2)
    save_file(network.state_dict(), tmp_path / "m.safetensors")
    facts = {"arch": "torchvision:mobilenet_v3_small", "task": "multiclass", "classes": "ab"}
    found = load_model(tmp_path / "m.safetensors", **facts)
    images = torch.rand(2, 3, 32, 32, generator=stream(0))
    assert torch.equal(found(images), network(images))
    save_model(found, tmp_path / "again")
    assert torch.equal(load_model(tmp_path / "again")(images), network(images))
    with pytest.raises(InputError, match=r"layer 'classifier.3' has 2 outputs, got 3 classes \(a, b, c\)"):
        load_model(tmp_path / "m.safetensors", **facts | {"classes": "abc"})


def test_the_head_must_fit_the_features(tmp_path):
    network = build("torchvision:mobilenet_v3_small", outputs=2)
    network.classifier[0] = torch.nn.Linear(500, 1024)
    save_file(network.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(
        InputError, match=r"another shape \(classifier.0.weight is \[1024, 500\] in the file, \[1024, 5"
    ):
        load_model(tmp_path / "m.safetensors", arch="torchvision:mobilenet_v3_small", task="multiclass", classes="ab")


def test_a_wrong_architecture(tmp_path, network):
    save_file(network.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"not those of timm:resnet18: 10\d of its 122 tensors are missing \(conv1"):
        load_model(tmp_path / "m.safetensors", **FACTS | {"arch": "timm:resnet18"})
    wider = (
        r"not those of aseptic:smallcnn\?width=8: \d+ tensors have another shape \(features.0.weight is \[4, 1, 3, 3\]"
    )
    with pytest.raises(InputError, match=wider):
        load_model(tmp_path / "m.safetensors", **FACTS | {"arch": "aseptic:smallcnn?width=8"})


@pytest.mark.parametrize("given", [["a"], ["a", "b", "c"]])
def test_a_wrong_class_count(tmp_path, network, given):
    save_file(network.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(
        InputError, match=rf"layer 'head' has 2 outputs, got {len(given)} classes \({', '.join(given)}\)"
    ):
        load_model(tmp_path / "m.safetensors", **FACTS | {"classes": given, "task": "multilabel"})


def test_weights_that_are_not_finite(tmp_path, network):
    network.head.bias.data[0] = torch.nan
    save_file(network.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"weights must be finite; 1 tensors hold NaN or infinity \(head.bias\)"):
        load_model(tmp_path / "m.safetensors", **FACTS)


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("arch", "arch must be given for the weights in .*, such as timm:resnet18$"),
        ("task", "task must be given with a bare weights file"),
        ("classes", "classes must be given with a bare weights file"),
    ],
)
def test_facts_that_are_needed(tmp_path, network, absent, message):
    save_file(network.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "m.safetensors", **{name: value for name, value in FACTS.items() if name != absent})


def test_code_needs_consent(tmp_path, network):
    torch.save(network, tmp_path / "m.pt")
    with pytest.raises(RefusedError, match="--trust-code"):
        load_model(tmp_path / "m.pt", **FACTS)
    found = load_model(tmp_path / "m.pt", **FACTS, trust_code=True)
    assert torch.equal(found(IMAGES), network(IMAGES))
    with pytest.raises(InputError, match="model 'm' has no architecture name"):
        save_model(load_model(tmp_path / "m.pt", task="multiclass", classes="ab", trust_code=True), tmp_path)


def test_messages_about_folders(tmp_path, subject):
    with pytest.raises(InputError, match=r"model '.*nowhere' does not exist: give a folder with model.yaml"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"model.yaml cannot be read: .*No such file"):
        load_model(tmp_path)
    save_model(subject, tmp_path)
    with pytest.raises(InputError, match=r"arch, mean cannot be given with a model folder: .*model.yaml says it"):
        load_model(tmp_path, arch="timm:resnet18", mean=0.5)
    with pytest.raises(InputError, match=r"arch must be given .* \(or give the folder '"):
        load_model(tmp_path / "model.safetensors", task="multilabel", classes="ab")


def test_a_changed_weight_is_noticed(tmp_path, subject):
    save_model(subject, tmp_path)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"was changed or damaged: its sha256 is [0-9a-f]{64}, model.yaml says [0-9a-f]"
    ):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "x"}, "arch: Extra inputs are not permitted"),
        ({"task": "regression"}, "task: Input should be 'multiclass', 'multilabel', 'segmentation' or 'detection'"),
        ({"sha256": "1234"}, "sha256: String should match pattern"),
        ({"classes": []}, "classes: List should have at least 1 item"),
        ({"size": [16]}, "size: List should have at least 2 items"),
        ({"version": 2}, "version: Input should be 1"),
        ({"architecture": None}, "architecture: Input should be a valid string"),
    ],
)
def test_a_card_is_strict(tmp_path, subject, change, message):
    save_model(subject, tmp_path)
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    with pytest.raises(InputError, match=rf"is not a model card: {message}"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a", "must hold keys and values, got list"), ("a: [", "cannot be read: while parsing"), ("", "got NoneType")],
)
def test_a_card_is_yaml(tmp_path, text, message):
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_model(tmp_path)


def test_a_card_runs_no_code(tmp_path):
    (tmp_path / "model.yaml").write_text(f"architecture: !!python/object/apply:os.mkdir ['{tmp_path}/trap']")
    with pytest.raises(InputError, match="cannot be read: could not determine a constructor"):
        load_model(tmp_path)
    assert not (tmp_path / "trap").exists()


def test_the_published_pneumonia_model(real):
    weights, data = real("weights"), real("cxr_kermany")
    found = load_model(
        weights / "mobilenet_v3_small_kermany_pneumonia.pth",
        arch="torchvision:mobilenet_v3_small",
        task="multiclass",
        classes=["normal", "pneumonia"],
        size=224,
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
    )
    assert found.module.classifier[0].out_features == 256
    with (data / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"][::5]
    grey = [np.asarray(Image.open(data / row["file"]).convert("L"), dtype=np.float32) / 255 for row in rows]
    images = torch.from_numpy(np.stack(grey))[:, None]
    targets = torch.tensor([found.task.output(row["label"]) for row in rows])
    with torch.no_grad():
        logits = torch.cat([found(part) for part in images.split(32)])
    assert found.task.correct(logits, targets).float().mean() > 0.95
