"""Opening weights files: no code in them runs, and damage is named."""

import os
import pickle
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from aseptic.core.errors import InputError, RefusedError
from aseptic.models.weights import read_weights

STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2)}


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def zip_format(path, value):
    torch.save(value, path)


def legacy_format(path, value):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def plain_pickle(path, value):
    path.write_bytes(pickle.dumps(value))


WRITERS = pytest.mark.parametrize("write", [zip_format, legacy_format, plain_pickle])


@WRITERS
@pytest.mark.parametrize("ending", ["pt", "pth", "ckpt", "bin"])
def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path, write, ending):
    trap, path = tmp_path / "trap", tmp_path / f"model.{ending}"
    write(path, {"state_dict": STATE, "note": Payload(trap)})
    with pytest.raises(RefusedError, match=r"would run code when opened \(it asks for posix.mkdir\).*--trust-code"):
        read_weights(path)
    assert not trap.exists()


def test_the_payload_of_these_tests_works(tmp_path):
    trap, path = tmp_path / "trap", tmp_path / "model.pt"
    zip_format(path, {"state_dict": STATE, "note": Payload(trap)})
    read_weights(path, trust_code=True)
    assert trap.is_dir(), "the refusals above would otherwise prove nothing"


def test_a_payload_hidden_in_a_rewritten_archive(tmp_path):
    trap, good, path = tmp_path / "trap", tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save(STATE, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                # a call before the real weights: its result is popped, so a victim would see nothing odd
                call = f"cposix\nmkdir\n(V{trap}\ntR0".encode()
                content = content[:2] + call + content[2:]
            target.writestr(name, content)
    with pytest.raises(RefusedError, match=r"asks for posix\.mkdir"):
        read_weights(path)
    assert not trap.exists()


def test_a_whole_pickled_network_is_refused_unless_trusted(tmp_path):
    path, network = tmp_path / "network.pt", torch.nn.Linear(3, 2)
    torch.save(network, path)
    with pytest.raises(RefusedError, match=r"torch.nn.modules.linear.Linear.*save the state_dict alone"):
        read_weights(path)
    found = read_weights(path, trust_code=True)
    assert torch.equal(found.weight, network.weight)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
def test_torchscript_is_refused_unless_trusted(tmp_path):
    path, network = tmp_path / "script.pt", torch.nn.Linear(3, 2)
    torch.jit.trace(network, torch.rand(1, 3)).save(str(path))
    with pytest.raises(RefusedError, match=r"TorchScript archive, which is a program.*--trust-code"):
        read_weights(path)
    images = torch.rand(4, 3)
    torch.testing.assert_close(read_weights(path, trust_code=True)(images), network(images))


@pytest.mark.parametrize("ending", ["pkl", "pickle", "joblib"])
def test_pickles_are_refused_by_name(tmp_path, ending):
    trap, path = tmp_path / "trap", tmp_path / f"model.{ending}"
    plain_pickle(path, Payload(trap))
    with pytest.raises(RefusedError, match=r"is a pickle, which runs code when opened.*--trust-code"):
        read_weights(path)
    assert not trap.exists()


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_weights_are_found_under_the_usual_keys(tmp_path, key):
    path = tmp_path / "checkpoint.ckpt"
    torch.save({"epoch": 3, key: STATE}, path)
    assert read_weights(path).keys() == STATE.keys()


def test_all_formats_hold_the_same(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    zip_format(tmp_path / "b.pth", STATE)
    legacy_format(tmp_path / "c.pt", STATE)
    for path in tmp_path.iterdir():
        found = read_weights(path)
        assert all(torch.equal(found[name], value) for name, value in STATE.items()), path.name


@pytest.mark.parametrize("keep", [0, 3, 0.3, 0.9, -1])
@pytest.mark.parametrize("ending", ["safetensors", "pth", "pt"])
def test_truncated_files(tmp_path, ending, keep):
    path, state = tmp_path / f"cut.{ending}", {"weight": torch.rand(64, 64)}
    write = {"safetensors": lambda p, s: save_file(s, p), "pth": zip_format, "pt": legacy_format}[ending]
    write(path, state)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match=r"is damaged") as caught:
        read_weights(path)
    assert not isinstance(caught.value, RefusedError), "a broken download must not be called malicious"


def test_damage_that_keeps_the_length(tmp_path):
    path = tmp_path / "zeros.pth"
    path.write_bytes(bytes(1000))
    with pytest.raises(InputError, match=r"is damaged, cut short, or not a file that torch.save wrote"):
        read_weights(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"epoch": 3, "lr": 0.1}, r"2 of 2 entries are none \(epoch, lr\)"),
        ([1, 2], "must hold named weights .*got list"),
        ({}, "must hold named weights"),
    ],
)
def test_files_without_weights(tmp_path, value, message):
    path = tmp_path / "other.pt"
    torch.save(value, path)
    with pytest.raises(InputError, match=message):
        read_weights(path)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model"])
def test_foreign_formats(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89HDF")
    with pytest.raises(InputError, match=r"weights must be one of \.bin, .*got 'model.*export other formats to ONNX"):
        read_weights(tmp_path / name)


def test_an_absent_file():
    with pytest.raises(InputError, match="is not a file"):
        read_weights(Path("nowhere.pth"))


def test_trusted_files_that_still_cannot_be_opened(tmp_path, monkeypatch):
    path, module = tmp_path / "gone.pt", types.ModuleType("gone")
    module.Gone = type("Gone", (), {"__module__": "gone"})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "gone", module)
        torch.save(module.Gone(), path)
    with pytest.raises(InputError, match=r"cannot be opened, even with --trust-code .*No module named 'gone'"):
        read_weights(path, trust_code=True)
