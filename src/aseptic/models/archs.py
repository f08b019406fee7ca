"""Networks by name, ``LIBRARY:NAME[?option=value&...]``: fresh weights from a seed, never a download."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import nn

from aseptic.core.errors import InputError, nearest
from aseptic.models.arch_options import AXES, COUNT, SHARE, UNET_OPTIONS
from aseptic.models.covidnet import CovidNet
from aseptic.models.randomness import seeded
from aseptic.models.smallcnn import SmallCNN
from aseptic.models.unets import DENSE, unet_options

PLANAR = 2
"""Space axes of an image."""
COLOUR = 3
"""Channels that torchvision's networks are made for."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One network, as a library is asked for it."""

    name: str
    """Name inside the library."""
    options: Mapping[str, Any]
    """Checked options."""
    outputs: int
    """Number of logits."""
    channels: int
    """Channels that it is fed."""
    size: tuple[int, ...] | None
    """Space axes that it is fed, where known."""

    @property
    def axes(self) -> int:
        """Number of space axes: the option, else as many as the size has, else two.

        Raises:
            InputError: The option and the size contradict each other.
        """
        wanted: int = self.options.get("spatial_dims", len(self.size) if self.size else PLANAR)
        if self.size and len(self.size) != wanted:
            raise InputError(f"spatial_dims is {wanted}, but size has {len(self.size)} axes: {list(self.size)}")
        if wanted not in {2, 3}:
            raise InputError(f"size must have 2 or 3 space axes, got {list(self.size or ())}")
        return wanted


def _flat(request: Request, library: str) -> None:
    if request.axes != PLANAR:
        raise InputError(f"{library} networks take images with 2 space axes, got size {list(request.size or ())}")


def _timm(request: Request) -> nn.Module:
    import timm  # noqa: PLC0415 - seconds to import

    _flat(request, "timm")
    extra = dict(request.options)
    config = timm.models.get_pretrained_cfg(request.name)
    if request.size and config is not None and config.fixed_input_size:
        extra["img_size"] = request.size
    made: nn.Module = timm.create_model(
        request.name, pretrained=False, num_classes=request.outputs, in_chans=request.channels, **extra
    )
    return made


def _torchvision(request: Request) -> nn.Module:
    from torchvision import models  # noqa: PLC0415 - seconds to import

    _flat(request, "torchvision")
    if request.name in _torchvision_detectors():
        return _detector(request)
    if request.options:
        raise InputError(f"option {next(iter(request.options))} is for detectors, got torchvision:{request.name}")
    extra: dict[str, Any] = {}
    if request.name in {"googlenet", "inception_v3"}:
        extra = {"aux_logits": False, "init_weights": True}
    if request.size and request.name.startswith("vit_"):
        if len(set(request.size)) > 1:
            raise InputError(f"torchvision:{request.name} takes square images, got size {list(request.size)}")
        extra = {"image_size": request.size[0]}
    made: nn.Module = models.get_model(request.name, weights=None, num_classes=request.outputs, **extra)
    if request.channels != COLOUR:
        _feed(made, request.channels)
    return made


def _torchvision_detectors() -> Sequence[str]:
    from aseptic.models.detector_archs import TORCHVISION  # noqa: PLC0415 - seconds to import

    return TORCHVISION


def _detector(request: Request) -> nn.Module:
    from aseptic.models.detector_archs import torchvision_detector  # noqa: PLC0415 - seconds to import

    made: nn.Module = torchvision_detector(
        request.name,
        outputs=request.outputs,
        anchor=int(request.options.get("anchor", 32)),
        proposals=int(request.options.get("proposals", 300)),
    )
    if request.channels != COLOUR:
        _feed(made, request.channels)
    return made


def _feed(network: nn.Module, channels: int) -> None:
    """Give the first convolution another number of input channels, with fresh weights."""
    name, old = next((name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        (old.kernel_size[0], old.kernel_size[1]),
        stride=(old.stride[0], old.stride[1]),
        padding=old.padding if isinstance(old.padding, str) else (old.padding[0], old.padding[1]),
        bias=old.bias is not None,
    )
    network.set_submodule(name, new)


MONAI: Mapping[str, tuple[str, str, str]] = {
    **{f"densenet{n}": (f"DenseNet{n}", "in_channels", "out_channels") for n in (121, 169, 201, 264)},
    **{f"resnet{n}": (f"resnet{n}", "n_input_channels", "num_classes") for n in (10, 18, 34, 50, 101, 152, 200)},
    **{f"seresnet{n}": (f"SEResNet{n}", "in_channels", "num_classes") for n in (50, 101, 152)},
    **{f"efficientnet-b{n}": ("EfficientNetBN", "in_channels", "num_classes") for n in range(8)},
}
"""Name to the attribute of `monai.networks.nets` and what it calls channels and outputs."""


def _monai(request: Request) -> nn.Module:
    nets = importlib.import_module("monai.networks.nets")
    if request.name in DENSE:
        facts = {"in_channels": request.channels, "out_channels": request.outputs, "spatial_dims": request.axes}
        attribute, more = unet_options(request.name, request.options, request.size)
        dense: nn.Module = getattr(nets, attribute)(**facts, **more)
        return dense
    if given := [name for name in request.options if name in UNET_OPTIONS]:
        raise InputError(f"option {given[0]} is for the U-Nets {', '.join(DENSE)}; got monai:{request.name}")
    attribute, channels, outputs = MONAI[request.name]
    extra: dict[str, Any] = {channels: request.channels, outputs: request.outputs, "spatial_dims": request.axes}
    if attribute == "EfficientNetBN":
        extra |= {"model_name": request.name, "pretrained": False}
    made: nn.Module = getattr(nets, attribute)(**extra)
    return made


def _aseptic(request: Request) -> nn.Module:
    if "anchor" in request.options and request.name != "smallretina":
        raise InputError(f"option anchor is for aseptic:smallretina, got aseptic:{request.name}")
    if "dropout" in request.options and request.name != "smallcnn":
        raise InputError(f"option dropout cannot be given to aseptic:{request.name}")
    return ASEPTIC[request.name](request)


def _covid_net(request: Request) -> nn.Module:
    _flat(request, "aseptic:covidnet")
    if request.size is None:
        raise InputError("size must be given for aseptic:covidnet, whose first dense layer sees every place")
    facts = {name: value for name, value in request.options.items() if name == "width"}
    return CovidNet(outputs=request.outputs, channels=request.channels, size=request.size, **facts)


def _small_cnn(request: Request) -> nn.Module:
    options = {**request.options, "spatial_dims": request.axes}
    return SmallCNN(outputs=request.outputs, channels=request.channels, **options)


def _small_retina(request: Request) -> nn.Module:
    from aseptic.models.detector_archs import small_retina  # noqa: PLC0415 - seconds to import

    _flat(request, "aseptic:smallretina")
    width, anchor = (int(request.options.get(name, default)) for name, default in (("width", 48), ("anchor", 12)))
    if width % 8:
        raise InputError(f"option width of aseptic:smallretina must be a multiple of 8, got {width}")
    return small_retina(outputs=request.outputs, channels=request.channels, width=width, anchor=anchor)


ASEPTIC: Mapping[str, Callable[[Request], nn.Module]] = {
    "covidnet": _covid_net,
    "smallcnn": _small_cnn,
    "smallretina": _small_retina,
}
"""The project's own networks."""


def _timm_names() -> Sequence[str]:
    import timm  # noqa: PLC0415 - seconds to import

    return list(timm.list_models())


def _torchvision_names() -> Sequence[str]:
    from torchvision import models  # noqa: PLC0415 - seconds to import

    return [*models.list_models(module=models), *_torchvision_detectors()]


@dataclass(frozen=True, kw_only=True)
class Library:
    """Where networks of one prefix come from."""

    make: Callable[[Request], nn.Module]
    """Builds one."""
    names: Callable[[], Sequence[str]]
    """All names, without touching the network."""
    options: Mapping[str, tuple[Callable[[str], float | int], str]]
    """Option to its parser and its domain in words."""


LIBRARIES: Mapping[str, Library] = {
    "aseptic": Library(
        make=_aseptic,
        names=lambda: [*ASEPTIC],
        options={"anchor": COUNT, "dropout": SHARE, "spatial_dims": AXES, "width": COUNT},
    ),
    "monai": Library(make=_monai, names=lambda: [*MONAI, *DENSE], options={"spatial_dims": AXES, **UNET_OPTIONS}),
    "timm": Library(make=_timm, names=_timm_names, options={"drop_path_rate": SHARE, "drop_rate": SHARE}),
    "torchvision": Library(make=_torchvision, names=_torchvision_names, options={"anchor": COUNT, "proposals": COUNT}),
}


@cache
def _known(library: str) -> tuple[str, ...]:
    return tuple(sorted(LIBRARIES[library].names()))


def list_archs() -> tuple[str, ...]:
    """Return every architecture that `build` knows, as ``LIBRARY:NAME``, sorted."""
    return tuple(f"{library}:{name}" for library in sorted(LIBRARIES) for name in _known(library))


def _options(library: str, text: str) -> dict[str, float | int]:
    known, found = LIBRARIES[library].options, {}
    for part in filter(None, text.split("&")):
        key, _, value = part.partition("=")
        if key not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise InputError(
                f"option of {library} networks must be one of: {allowed}; got {key!r}{nearest(key, known)}"
            )
        parse, domain = known[key]
        try:
            found[key] = parse(value)
        except ValueError:
            raise InputError(f"option {key} must be {domain}, got {value!r}") from None
    return found


def _parse(arch: str) -> tuple[str, str, dict[str, float | int]]:
    library, colon, rest = arch.partition(":")
    if not colon or library not in LIBRARIES:
        allowed = ", ".join(f"{name}:NAME" for name in sorted(LIBRARIES))
        raise InputError(f"architecture must be one of {allowed}; got {arch!r}{nearest(arch, list_archs())}")
    name, _, text = rest.partition("?")
    # a timm name may carry the tag of a weight file, which is of no consequence to fresh weights
    bare = name.partition(".")[0] if library == "timm" else name
    if bare not in _known(library):
        hint = nearest(bare, _known(library))
        raise InputError(f"architecture {arch!r} is not known to {library}{hint} (`aseptic list archs` shows all)")
    return library, bare, _options(library, text)


def build(
    arch: str, *, outputs: int, channels: int = 3, size: int | Sequence[int] | None = None, seed: int = 0
) -> nn.Module:
    """Return the network called ``arch`` with fresh weights, in training mode; nothing is downloaded.

    Args:
        arch: ``timm:resnet18``, ``torchvision:mobilenet_v3_small``, ``monai:densenet121?spatial_dims=3``, ...
        outputs: Number of logits, at least 1.
        channels: Channels that it is fed, at least 1.
        size: Pixels along each space axis; one number means a square. Needed only by networks of fixed size.
        seed: The initial weights come from the stream ``("weights", arch)`` of this root seed.

    Raises:
        InputError: The name or an option is unknown, or the library cannot build the network with these facts.
    """
    library, name, options = _parse(arch)
    space = (size, size) if isinstance(size, int) else tuple(size) if size is not None else None
    request = Request(name=name, options=options, outputs=outputs, channels=channels, size=space)
    with seeded(seed, "weights", arch):
        try:
            return LIBRARIES[library].make(request)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            facts = f"{outputs} outputs, {channels} channels, size {list(space) if space else 'any'}"
            raise InputError(f"{arch} cannot be built with {facts}: {error}") from error
