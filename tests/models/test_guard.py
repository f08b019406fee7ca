"""The guard sees every change of a model and puts every flag back."""

import pytest
import torch
from nets import net, pictures

from aseptic.core.errors import ContractError
from aseptic.models.guard import fingerprint, untouched


def test_flags_are_set_inside_and_restored_outside():
    model = net().train()
    model.module.conv.eval()
    model.module.conv.weight.requires_grad_(requires_grad=False)
    with untouched(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [name for name, module in model.named_modules() if not module.training] == ["module.conv"]
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["module.conv.weight"]


def test_statistics_do_not_move_inside():
    model, before = net().train(), fingerprint(net())
    with untouched(model):
        model(pictures((4, 1, 8, 8)))
    assert fingerprint(model) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.module.head.weight.data.mul_(1.0001), "must not change, but module.head.weight did"),
        (lambda m: m.module.norm.running_var.add_(1e-3), "must not change, but module.norm.running_var did"),
        (lambda m: m.module.head.bias.data.copy_(m.module.head.bias.data.flip(0)), "but module.head.bias did"),
        (lambda m: m.module.register_buffer("extra", torch.zeros(1)), "but module.extra did"),
        (lambda m: m.train()(pictures((4, 1, 8, 8))), "but module.norm.num_batches_tracked and 2 more did"),
    ],
)
def test_a_change_is_named(change, message):
    model = net()
    with pytest.raises(ContractError, match=message), untouched(model):
        change(model)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_an_error_inside_passes_through():
    model = net().train()
    with pytest.raises(KeyError, match="inside"), untouched(model):
        raise KeyError("inside")
    assert all(module.training for module in model.modules())


def test_fingerprint_reads_every_type():
    model = net().half()
    model.module.register_buffer("flag", torch.ones((), dtype=torch.bool), persistent=False)
    model.module.register_buffer("brain", torch.zeros(3, dtype=torch.bfloat16))
    assert {"module.flag", "module.brain", "module.conv.weight"} <= fingerprint(model).keys()
