"""What holds for every scanner of models."""

import json

import pytest
import torch
from nets import net, pictures, segnet

from aseptic.core.errors import ContractError, InputError
from aseptic.scanners import SCANNERS, ModelScanner, make_scanner

QUICK = {
    "mm-bd": {"starts": 2, "steps": 3},
    "neural-cleanse": {"images": 4, "rounds": 2},
    "smooth-inversion": {"images": 4, "rounds": 2, "beta": 0.2},
}


def test_every_scanner_has_a_case():
    assert set(QUICK) == set(SCANNERS.names())


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("space", [2, 3])
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_laws(name, space, task):
    model, method = net(space, task, outputs=4).train(), make_scanner(name, **QUICK[name])
    images = pictures((6, 1, *(8,) * space))
    before, state, weights = (
        images.clone(),
        torch.get_rng_state(),
        {k: v.clone() for k, v in model.state_dict().items()},
    )
    first, again = method.scan(model, images, seed=3), method.scan(model, images, seed=3)
    assert isinstance(method, ModelScanner)
    assert method.name == name
    assert torch.equal(first.scores, again.scores), "same seed, same result"
    assert torch.equal(first.pictures, again.pictures)
    assert torch.equal(images, before), "the caller's images are not written to"
    assert torch.equal(state, torch.get_rng_state()), "the global random state is not used"
    assert model.training, "the model's mode is not changed"
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items()), "nor anything else of it"
    assert all(one.requires_grad and one.grad is None for one in model.parameters())
    assert first.scores.shape == first.reached.shape == first.index.shape == (4,)
    assert first.masks.shape == (4, *(8,) * space)
    assert first.pictures.shape == (4, 1, *(8,) * space)
    assert first.outputs == model.task.classes
    for shown in (first.masks, first.pictures, first.reached):
        assert shown.nan_to_num().min() >= 0
        assert shown.nan_to_num().max() <= 1
    assert first.target == int(first.scores.nan_to_num(-torch.inf).argmax())
    assert first.scanner == {"name": name, **json.loads(json.dumps(first.scanner))}
    assert make_scanner(**first.scanner) == method
    told = json.loads(json.dumps(first.told(), allow_nan=False))
    assert told["target"] == first.outputs[first.target]
    assert told["statistic"] == first.statistic
    assert (told["forwards"], told["backwards"]) == (first.cost.forwards, first.cost.backwards)
    assert first.cost.backwards > 0


@pytest.mark.parametrize("name", QUICK)
def test_what_cannot_be_scanned_is_refused(name):
    method = make_scanner(name, **QUICK[name])
    with pytest.raises(InputError, match="scanners serve multiclass and multilabel models, got segmentation"):
        method.scan(segnet(), pictures((2, 1, 8, 8)))
    with pytest.raises(InputError, match=r"images must lie in \[0, 1\], image '1' spans \[0, 2\]"):
        method.scan(net(), torch.stack([torch.zeros(1, 8, 8), torch.tensor([0.0, 2.0]).repeat(1, 8, 4)]))
    with pytest.raises(InputError, match="images must be float32 with 2 or 3 space axes"):
        method.scan(net(), pictures((2, 1, 8, 8)).double())
    if method.needs_images:
        with pytest.raises(InputError, match=f"{name} needs clean images, got none"):
            method.scan(net(), torch.zeros(0, 1, 8, 8))
    else:
        assert method.scan(net(), torch.zeros(0, 1, 8, 8)).scores.isfinite().all()


def test_a_model_that_changes_while_it_is_scanned_is_not_trusted():
    model = net()

    def drift(module, given):
        del given
        with torch.no_grad():
            module.module.head.bias += 1e-3

    model.register_forward_pre_hook(drift)
    with pytest.raises(ContractError, match=r"the audited model must not change, but module.head.bias did"):
        make_scanner("mm-bd", steps=2).scan(model, pictures((1, 1, 8, 8)))


def test_scanners_are_made_by_name():
    with pytest.raises(InputError, match=r"scanner must be one of mm-bd, .*; got 'mmbd', did you mean 'mm-bd'\?"):
        make_scanner("mmbd")
    with pytest.raises(
        InputError,
        match=r"a setting of scanner mm-bd must be one of at_once, starts, step, steps; got 'start', did you mean",
    ):
        make_scanner("mm-bd", start=2)
    with pytest.raises(
        InputError, match=r"setting starts of scanner mm-bd: Input should be a valid integer.*; got 'x'"
    ):
        make_scanner("mm-bd", starts="x")
    with pytest.raises(InputError, match="starts must be a whole number of at least 1, got 0"):
        make_scanner("mm-bd", starts=0)
