"""Scanners of training sets: against their definitions, on made-up features, and on sets that were poisoned here."""

import math

import numpy as np
import pytest
import torch
from made_up import CLASSES, normal, poisoned
from nets import net, pictures

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.data.imageset import ImageSet
from aseptic.data.memory import memory_set
from aseptic.metrics.ranking import auroc
from aseptic.models.features import read_features
from aseptic.scanners.sets import (
    SET_SCANNERS,
    ActivationClustering,
    Beatrix,
    Evidence,
    SpectralSignatures,
    Spectrum,
    make_set_scanner,
)
from aseptic.triggers.catalogue import make_trigger


def textured(count, *space, name="texture", tint=0.0):
    """Return pictures with the spectrum of natural images, each of its own contrast and sharpness."""
    rng = numpy_stream(0, name, count, *space)
    far = np.sqrt(sum(f**2 for f in np.meshgrid(*(np.fft.fftfreq(n) for n in space), indexing="ij")) + 1e-4)
    steep = rng.uniform(1.0, 1.15, size=(count, *(1,) * len(space)))
    noise = np.fft.ifftn(np.fft.fftn(rng.normal(size=(count, *space)), axes=range(1, 1 + len(space))) / far**steep,
                         axes=range(1, 1 + len(space))).real  # fmt: skip
    noise /= noise.std(axis=tuple(range(1, 1 + len(space))), keepdims=True)
    contrast = rng.uniform(0.08, 0.16, size=steep.shape)
    return torch.from_numpy((0.5 + tint + contrast * noise).clip(0, 1)).float()[:, None]


def judged(scanner, evidence, infected):
    found = scanner.judge(evidence)
    inside = (evidence.targets == 1).numpy()
    return found, auroc(found.suspicion.double().numpy()[inside], infected[inside])


def kind(scanner):
    return type(scanner).__name__


def test_spectral_signatures_are_the_closed_form():
    evidence, _ = poisoned()
    found = SpectralSignatures().judge(evidence)
    for number, group in enumerate(found.groups):
        rows = evidence.rows[evidence.targets == number].double().numpy()
        centred = rows - rows.mean(0)
        values, vectors = np.linalg.eigh(centred.T @ centred)
        along = (centred @ vectors[:, -1]) ** 2
        wanted = torch.from_numpy(along / along.mean())
        torch.testing.assert_close(found.suspicion[evidence.targets == number].double(), wanted, atol=1e-4, rtol=1e-4)
        assert group.statistic == pytest.approx(values[-1] / values.sum(), rel=1e-6)


def test_clusters_by_hand():
    """Twelve images in one place and four in another: k-means cannot but find them, and every silhouette is 1."""
    rows = torch.zeros(16, 5)
    rows[[3, 7, 8, 15], 2] = 9.0
    look = ActivationClustering().look(rows, rows[:0], seed=0)
    assert look.details == {"share": 0.25}
    assert look.statistic == pytest.approx(1)
    torch.testing.assert_close(look.suspicion, 2 * (rows[:, 2] > 0).float() - 1)


def test_silhouettes_are_those_of_the_distances_to_the_centres():
    line = torch.tensor([0.0, 1, 2, 0, 1, 2, 10, 12])[:, None]
    look = ActivationClustering().look(line, line[:0], seed=0)
    near, far = (line[:, 0] - 11).abs(), (line[:, 0] - 1).abs()
    lean = (far - near) / torch.maximum(near, far)
    assert look.statistic == pytest.approx(float(lean.abs().mean()))
    torch.testing.assert_close(look.suspicion, lean.abs().mean() * lean)
    assert look.details["share"] == 0.25


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (3, 4, 2, 3, 5), (3, 4)])
def test_gram_features_are_those_of_the_whole_matrix(shape):
    maps, orders = normal(*shape), (1, 2, 3, 8)
    values = maps.double().flatten(2) if maps.ndim > 2 else maps.double()[:, :, None]
    parts = []
    for order in orders:
        power = values**order
        sums = torch.einsum("nix,njx->nij", power, power).sum(2)
        parts.append(sums.sign() * sums.abs() ** (1 / order))
    found = Beatrix(orders=orders).kept(maps)
    torch.testing.assert_close(found, torch.cat(parts, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(Beatrix(orders=orders).kept(1e4 * maps), 1e8 * found, rtol=1e-4, atol=1e-4)


def test_deviations_by_hand_and_a_unit_that_only_poison_wakes():
    """Medians 2 and 0, deviations 1 and none: the least that counts is a tenth of their mean."""
    rows = torch.tensor([[1.0, 0.0], [1, 0], [2, 0], [3, 0], [3, 0], [2, 0], [9, 0.0], [2, 0.5]])
    look = Beatrix(orders=(1,), reach=3).look(rows, rows[:0], seed=0)
    wanted = torch.zeros(8)
    wanted[6], wanted[7] = math.log(1 + 7 - 3) / 2, math.log(1 + 0.5 / 0.05 - 3) / 2
    torch.testing.assert_close(look.suspicion, wanted)
    assert look.statistic == pytest.approx(float(wanted.mean()))


@pytest.mark.parametrize(
    "scanner",
    [SpectralSignatures(), ActivationClustering(), Beatrix(orders=(1,))],
    ids=lambda each: type(each).__name__,
)
def test_poison_with_features_of_its_own_is_found_and_its_class_is_the_worst(scanner):
    evidence, infected = poisoned(bad=12, shift=20.0)
    found, area = judged(scanner, evidence, infected)
    assert area > 0.99
    assert (
        found.statistic == found.groups[1].statistic > 1.1 * max(found.groups[0].statistic, found.groups[2].statistic)
    )
    assert auroc(found.suspicion.double().numpy(), infected) > 0.9, "groups compare"


def wave(images):
    return make_trigger("sig", delta=24 / 255, frequency=4).apply(images)


def blend(images):
    return make_trigger("blend", ratio=0.15).apply(images)


@pytest.mark.parametrize(
    ("space", "trigger"),
    [((32, 28), wave), ((32, 28), blend), ((13, 12, 12), wave)],
    ids=["wave", "blend", "wave in a volume"],
)
def test_a_common_change_of_the_frequencies_is_found_without_a_network(space, trigger):
    images, targets = textured(420, *space), torch.arange(420) % 2
    bad = (targets == 1).nonzero()[:32, 0]
    clean = memory_set("set", images, targets, classes=("a", "b"), task="multiclass")
    images = images.clone()
    images[bad] = trigger(images[bad])
    data = memory_set("set", images, targets, classes=("a", "b"), task="multiclass")
    scanner = Spectrum(bands=64)
    infected = np.zeros(420)
    infected[bad] = 1
    found, area = judged(scanner, scanner.collect(data), infected)
    assert area > 0.97
    assert auroc(found.suspicion.double().numpy(), infected) > 0.95, "groups compare"
    assert found.groups[1].statistic > 1.3 * scanner.scan(clean).groups[1].statistic


def test_spectra_are_compared_with_those_of_the_other_labels():
    """By hand in two bands: of two that vary alike in the others, the direction is the one that the class adds."""
    rest, own = normal(4000, 2, name="rest"), normal(200, 2, name="own")
    mixing = torch.tensor([[3.0, 3.0], [0.2, -0.2]])
    own[:20, 1] += 8
    look = Spectrum().look(own @ mixing, rest @ mixing, seed=0)
    centred = own.double() - own.double().mean(0)
    wanted = np.linalg.eigvalsh((centred.T @ centred / 200).numpy())[-1]
    assert look.statistic == pytest.approx(wanted / 1.1**2, rel=0.15), "chance: 1 + sqrt(2 / 200)"
    assert look.suspicion[:20].min() > look.suspicion[20:].max(), "the longer tail is the positive one"


def scanned_set(task="multiclass", count=36, **more):
    images = textured(count, 8, 8)
    if task == "multiclass":
        targets = torch.arange(count) % 3
    else:
        targets = torch.rand((count, 3), generator=stream(0, "findings")).round()
        targets[:4, 1] = math.nan
        targets[5] = 0
    return memory_set("set", images, targets, classes=CLASSES, task=task, **more)


def eager(name):
    return make_set_scanner(name, at_least=6, **({"bands": 9} if name == "spectrum" else {}))


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("name", SET_SCANNERS.names())
def test_neither_the_batches_nor_the_order_matter_and_a_batch_at_a_time_is_read(name, task, monkeypatch):
    data, model, scanner = scanned_set(task), net().train(), eager(name)
    whole, told = ImageSet.images, []
    monkeypatch.setattr(ImageSet, "images", property(lambda _: pytest.fail("all images at once")))
    found = scanner.scan(data, model, batch_size=36)
    again = scanner.scan(data, model, batch_size=7, watch=lambda done, of: told.append((done, of)))
    torch.testing.assert_close(again.suspicion, found.suspicion, atol=1e-2, rtol=1e-2, equal_nan=True)
    assert told == [(7, 36), (14, 36), (21, 36), (28, 36), (35, 36), (36, 36)]
    order = torch.randperm(36, generator=stream(0, "order"))
    moved = scanner.scan(data.select(order.tolist()), model, batch_size=7)
    torch.testing.assert_close(moved.suspicion, found.suspicion[order], atol=1e-2, rtol=1e-2, equal_nan=True)
    assert moved.statistic == pytest.approx(found.statistic, rel=1e-2)
    assert model.training
    monkeypatch.setattr(ImageSet, "images", whole)


def test_findings_are_looked_at_one_by_one():
    data, model, scanner = scanned_set("multilabel"), net(), SpectralSignatures(at_least=6)
    found, rows = scanner.scan(data, model), read_features(model, [data.images])["penultimate"]
    parts = torch.full((3, 36), -math.inf)
    for number in range(3):
        there = data.targets[:, number] == 1
        parts[number, there] = scanner.look(rows[there], rows[~there], seed=0).suspicion
    wanted = parts.amax(0)
    torch.testing.assert_close(found.suspicion, wanted.masked_fill(wanted.isinf(), math.nan), equal_nan=True)
    assert found.suspicion[5].isnan(), "it has no finding"
    assert 5 not in found.ranked()
    both = SpectralSignatures(at_least=6, absent=True).scan(data, model)
    assert [one.name for one in both.groups] == ["a", "a absent", "b", "b absent", "c", "c absent"]
    assert both.groups[2].images + both.groups[3].images == 32, "unknown is neither"
    assert not both.suspicion[5].isnan()


def test_labels_with_few_images_are_named():
    evidence, _ = poisoned()
    rows = torch.cat([(evidence.targets == 0).nonzero()[:5, 0], (evidence.targets == 1).nonzero()[:, 0]])
    few = Evidence(rows=evidence.rows[rows], targets=evidence.targets[rows], classes=CLASSES)
    found = SpectralSignatures().judge(few)
    assert found.skipped == ("a: 5 images, needs 16", "c: 0 images, needs 16")
    assert found.suspicion[:5].isnan().all()
    with pytest.raises(InputError, match=r"some label must have at least 100 images; got a: 5 images, needs 100, b: "):
        SpectralSignatures(at_least=100).judge(few)


@pytest.mark.parametrize("name", SET_SCANNERS.names())
def test_images_that_are_all_alike_are_not_suspicious(name):
    alike = memory_set(
        "set", torch.full((40, 1, 8, 8), 0.5), torch.arange(40) % 2, classes=("a", "b"), task="multiclass"
    )
    found = eager(name).scan(alike, net())
    assert found.suspicion.isfinite().all()
    assert float(found.suspicion.max() - found.suspicion.min()) == 0
    assert found.statistic == 0


def test_refuses_what_cannot_be_scanned():
    model = net()
    with pytest.raises(InputError, match="a scanned set must be labelled for multiclass or multilabel, got no labels"):
        SpectralSignatures().scan(memory_set("bare", pictures((4, 1, 8, 8))), model)
    with pytest.raises(InputError, match="SpectralSignatures needs the model that was trained on the set, got none"):
        SpectralSignatures().scan(scanned_set())
    with pytest.raises(InputError, match="a scanned set must have images, and set has none"):
        Beatrix().scan(scanned_set().select([]), model)
    most = memory_set("set", pictures((34, 1, 8, 8)), torch.arange(34) // 30, classes=("a", "b"), task="multiclass")
    with pytest.raises(InputError, match="each label must leave 16 images without it to compare with, got 4"):
        Spectrum().scan(most)
    for wrong, message in [
        (lambda: SpectralSignatures(at_least=3), "at_least must be at least 4, got 3"),
        (lambda: ActivationClustering(components=0), "components must be at least 1, got 0"),
        (lambda: ActivationClustering(restarts=0), "restarts must be at least 1, got 0"),
        (lambda: Beatrix(orders=()), r"orders must be whole numbers of at least 1, got \[\]"),
        (lambda: Beatrix(reach=math.nan), "reach must be at least 0, got nan"),
        (lambda: Spectrum(bands=3), "bands must be at least 4, got 3"),
        (lambda: make_set_scanner("spectre"), "set scanner must be one of .*; got 'spectre', did you mean 'spectrum'"),
        (lambda: make_set_scanner("beatrix", rech=1), "a setting of set scanner beatrix must be one of .*got 'rech'"),
        (lambda: make_set_scanner("beatrix", reach="far"), "setting reach of set scanner beatrix: "),
    ]:
        with pytest.raises(InputError, match=message):
            wrong()
