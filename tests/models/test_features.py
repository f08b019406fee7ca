"""Features read in one forward pass: those of the layers asked for, whatever the network and the batches."""

import pytest
import timm
import torch
from nets import net, pictures, segnet
from torch import nn

from aseptic.core.errors import ContractError, InputError
from aseptic.core.rng import stream
from aseptic.models.features import LOGITS, PENULTIMATE, at_places, flattened, pooled, read_features, tapped
from aseptic.models.layers import head_of, name_of
from aseptic.models.subject import Subject


class Inplace(nn.Module):
    """What the first layer gives is overwritten by what follows; the head is defined first and executed last."""

    def __init__(self):
        super().__init__()
        self.head, self.first = nn.Linear(4, 3), nn.Conv2d(1, 4, 3)
        for own in self.parameters():
            own.data = torch.randn(own.shape, generator=stream(0, "inplace"))

    def forward(self, images):
        return self.head(torch.relu_(self.first(images)).mean((2, 3)))


def small(module, **facts):
    return Subject(module.eval(), task="multiclass", classes=["a", "b", "c"], channels=1, **facts)


def read(subject, images, *layers, batch_size=3, **more):
    return read_features(subject, torch.split(images, batch_size), layers or (PENULTIMATE,), **more)


@pytest.mark.parametrize("space", [(9, 8), (8, 7, 8)])
def test_several_layers_of_one_pass_are_those_of_the_network(space):
    dims, images = len(space), pictures((7, 1, *space))
    model = net(dims)
    found = read(model, images, "module.conv", PENULTIMATE, LOGITS)
    module = model.module
    with torch.no_grad():
        conv = module.conv(images)
        pool = (nn.functional.adaptive_avg_pool2d, nn.functional.adaptive_avg_pool3d)[dims - 2]
        before = pool(torch.tanh(module.norm(conv)), 4).flatten(1)
    torch.testing.assert_close(found["module.conv"], conv.flatten(2).mean(2))
    torch.testing.assert_close(found[PENULTIMATE], before)
    torch.testing.assert_close(found[LOGITS], model(images).detach())
    torch.testing.assert_close(read(model, images, "module.conv", reduce=flattened)["module.conv"], conv.flatten(1))


def test_one_forward_pass_a_batch_and_the_model_as_it_was():
    model, asked = net().train(), []
    model.module.register_forward_hook(lambda _, given, __: asked.append(len(given[0])))
    read(model, pictures((7, 1, 8, 8)), PENULTIMATE, "module.norm", LOGITS)
    assert asked == [1, 3, 3, 1], "one image to find the head, then every image once"
    assert model.training
    assert not any(hooks for each in model.modules() for hooks in (each._forward_pre_hooks,))
    assert all(len(each._forward_hooks) == (each is model.module) for each in model.modules())
    assert all(own.requires_grad for own in model.parameters())


def test_features_do_not_depend_on_the_batches_or_their_order():
    model, images = net(), pictures((11, 1, 8, 8))
    whole = read(model, images, batch_size=11)[PENULTIMATE]
    torch.testing.assert_close(read(model, images, batch_size=4)[PENULTIMATE], whole)
    torch.testing.assert_close(read(model, images.flip(0), batch_size=4)[PENULTIMATE], whole.flip(0))


def test_what_a_layer_gave_survives_work_in_place_and_carries_gradients():
    model, images = small(Inplace()), pictures((2, 1, 6, 6)).requires_grad_()
    with tapped(model, images, ("module.first", PENULTIMATE)) as ask:
        found = ask(images)
    raw = model.module.first(images)
    assert (raw < 0).any()
    torch.testing.assert_close(found["module.first"], raw)
    torch.testing.assert_close(found[PENULTIMATE], raw.relu().mean((2, 3)))
    (slope,) = torch.autograd.grad(found[PENULTIMATE].sum(), images)
    (wanted,) = torch.autograd.grad(raw.relu().mean((2, 3)).sum(), images)
    torch.testing.assert_close(slope, wanted)


@pytest.mark.parametrize(
    ("arch", "head"),
    [("resnet18", "fc"), ("vit_tiny_patch16_224", "head"), ("convnext_atto", "head.fc")],
)
def test_the_head_of_known_networks(arch, head):
    more = {"img_size": 32} if arch.startswith("vit") else {}
    network = timm.create_model(arch, num_classes=3, **more)
    model = Subject(network, task="multiclass", classes=["a", "b", "c"])
    assert name_of(model, head_of(model, pictures((1, 3, 32, 32)))) == f"module.{head}"


@pytest.mark.parametrize("space", [2, 3])
def test_the_head_of_a_segmentation_is_its_last_convolution(space):
    model, images = segnet(space), pictures((2, 1, *(8,) * space))
    assert name_of(model, head_of(model, images)) == "module.head"
    before = torch.tanh(4 * model.module.conv(images)).flatten(2).mean(2)
    torch.testing.assert_close(read(model, images)[PENULTIMATE], before.detach())


def test_places_come_last():
    maps, tokens = torch.rand(2, 3, 4, 5), torch.rand(2, 6, 3)
    assert at_places(maps).shape == (2, 3, 20)
    torch.testing.assert_close(at_places(tokens), tokens.transpose(1, 2))
    torch.testing.assert_close(pooled(tokens), tokens.mean(1))
    assert at_places(torch.rand(2, 3)).shape == (2, 3, 1)


def test_refuses_what_cannot_be_read():
    model, images = net(), pictures((2, 1, 8, 8))
    with pytest.raises(
        InputError, match=r"layer must be a module of Net, got 'module.convv', did you mean 'module.conv'"
    ):
        read(model, images, "module.convv")
    with pytest.raises(InputError, match="features must be read of at least one image, got none"):
        read_features(model, [])
    idle = small(Inplace())
    idle.module.idle = nn.ReLU()
    with pytest.raises(InputError, match=r"layer must be executed and give a tensor, but 'module.idle' does not"):
        read(idle, images, "module.idle")
    assert not idle.module.idle._forward_hooks
    with pytest.raises(InputError, match="Flatten has no layer with a matrix or kernel of weights"):
        read(small(nn.Flatten()), images)


def test_a_model_that_changes_itself_is_noticed():
    class Counting(Inplace):
        def forward(self, images):
            self.first.bias.data += 1
            return super().forward(images)

    with pytest.raises(ContractError, match=r"the audited model must not change, but module.first.bias did"):
        read(small(Counting()), pictures((2, 1, 6, 6)))
