"""ONNX in: the converted network agrees with torch and with onnxruntime."""

import sys

import onnx
import onnxruntime
import pytest
import torch

from aseptic.core.errors import InputError, MissingExtraError
from aseptic.core.rng import stream
from aseptic.models.archs import build
from aseptic.models.load import load_model

FACTS = {"task": "multiclass", "classes": ["a", "b", "c"]}
IMAGES = torch.rand(5, 1, 16, 16, generator=stream(0, "images"))
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.onnx"),
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
]


def export(network, path, *, outputs=("logits",)):
    axes = {"images": {0: "batch"}, **{name: {0: "batch"} for name in outputs}}
    torch.onnx.export(
        network,
        (IMAGES[:1],),
        str(path),
        input_names=["images"],
        output_names=list(outputs),
        dynamic_axes=axes,
        dynamo=False,
    )


@pytest.fixture(scope="module")
def network():
    found = build("aseptic:smallcnn?width=4", outputs=3, channels=1, seed=2)
    found.train()(IMAGES)  # gives the normalisation layers statistics worth keeping
    return found.eval()


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    made = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export(network, made)
    return made


def test_agrees_with_torch_and_onnxruntime(network, path):
    found = load_model(path, **FACTS)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (oracle,) = session.run(None, {"images": IMAGES.numpy()})
    torch.testing.assert_close(found(IMAGES), torch.from_numpy(oracle), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found(IMAGES), network(IMAGES), rtol=1e-4, atol=1e-5)


def test_facts_come_from_the_graph(path):
    found = load_model(path, **FACTS)
    assert (found.spec.channels, found.spec.size, found.training, found.name) == (1, (16, 16), False, "net")


def test_gradients_reach_the_image(network, path):
    grads = []
    for model in (load_model(path, **FACTS), network):
        images = IMAGES.clone().requires_grad_()
        grads.append(torch.autograd.grad(model(images)[:, 0].sum(), images)[0])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-3, atol=1e-6)
    assert grads[0].abs().amax() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "timm:resnet18"}, "arch cannot be given with an ONNX file, .*got 'timm:resnet18'"),
        ({"classes": ["a", "b"]}, r"as many as the outputs of .*net.onnx: it has 3, got 2 classes"),
        ({"channels": 3}, r"channels must be 1, which .*net.onnx fixes; got 3"),
        ({"size": 32}, r"size must be \(16, 16\), which .*net.onnx fixes; got \(32, 32\)"),
        ({"task": None}, "task must be given"),
    ],
)
def test_facts_that_contradict_the_graph(path, change, message):
    with pytest.raises(InputError, match=message):
        load_model(path, **FACTS | change)


@pytest.mark.parametrize("keep", [0, 10, 0.5])
def test_truncated_files(path, tmp_path, keep):
    content = path.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match="is damaged or is no ONNX file"):
        load_model(tmp_path / "cut.onnx", **FACTS)


def test_several_outputs(tmp_path, network):
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, images):
            return self.network(images), images.mean((1, 2, 3))

    export(Two().eval(), tmp_path / "two.onnx", outputs=("logits", "mean"))
    with pytest.raises(InputError, match=r"must have one input .* got 1 inputs and 2 outputs"):
        load_model(tmp_path / "two.onnx", **FACTS)


def test_operators_that_cannot_be_converted(tmp_path):
    shape = ["n", 1, 16, 16]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y")]
    node = onnx.helper.make_node("LpNormalization", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "graph", ends[:1], ends[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)]), tmp_path / "odd.onnx")
    with pytest.raises(InputError, match=r"uses what cannot be converted to torch: .*LpNormalization"):
        load_model(tmp_path / "odd.onnx", task="multiclass", classes=[str(n) for n in range(16)])


@pytest.mark.parametrize("library", ["onnx", "onnx2torch"])
def test_the_extra_is_named(path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"need {library}, .*pip install 'aseptic\[onnx\]'"):
        load_model(path, **FACTS)
