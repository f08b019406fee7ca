"""Detectors by name: torchvision's RetinaNet and Faster R-CNN on its backbones, and a light one of our own."""

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from aseptic.models.detectors import Detector, ProposalCandidates, RetinaCandidates

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
MOBILENETS = ("mobilenet_v3_large", "mobilenet_v3_small")
KINDS = ("retinanet", "fasterrcnn")
TORCHVISION = tuple(f"{kind}_{backbone}_fpn" for kind in KINDS for backbone in (*RESNETS, *MOBILENETS))
"""Names below ``torchvision:``; those that torchvision has too take its weight files."""
RATIOS = (0.5, 1.0, 2.0)
"""Heights over widths of the anchors."""
OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
"""Sizes of a RetinaNet's anchors on one level, as multiples of the smallest."""
SMALL, LARGE = 8, 128
"""Strides of a RetinaNet's first and last level."""


def torchvision_detector(name: str, *, outputs: int, anchor: int, proposals: int) -> Detector:
    """Return a detector with fresh weights; every layer is trained, normalisation too.

    Args:
        name: One of `TORCHVISION`.
        outputs: Number of classes; a Faster R-CNN has the background besides.
        anchor: Smallest side of the anchors of the finest level, in pixels.
        proposals: Most proposals that the second stage of a Faster R-CNN looks at.
    """
    kind, _, rest = name.partition("_")
    backbone = rest.removesuffix("_fpn")
    if kind == "retinanet":
        features = _backbone(backbone, pyramid=True)
        levels = 5 if backbone in RESNETS else 3
        sizes = tuple(tuple(round(anchor * 2**level * part) for part in OCTAVE) for level in range(levels))
        network = RetinaNet(features, outputs, anchor_generator=AnchorGenerator(sizes, (RATIOS,) * levels))
        return RetinaCandidates(network)
    features = _backbone(backbone, pyramid=False)
    levels = 5 if backbone in RESNETS else 3
    sizes = (
        tuple((anchor * 2**level,) for level in range(levels))
        if backbone in RESNETS
        else (tuple(anchor * 2**level for level in range(5)),) * levels
    )
    network = FasterRCNN(
        features,
        outputs + 1,
        rpn_anchor_generator=AnchorGenerator(sizes, (RATIOS,) * levels),
        rpn_post_nms_top_n_test=proposals,
    )
    return ProposalCandidates(network)


def _backbone(name: str, *, pyramid: bool) -> nn.Module:
    if name in MOBILENETS:
        found: nn.Module = mobilenet_backbone(
            backbone_name=name, weights=None, fpn=True, norm_layer=nn.BatchNorm2d, trainable_layers=6
        )
        return found
    extra = {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)} if pyramid else {}
    made: nn.Module = resnet_fpn_backbone(
        backbone_name=name, weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5, **extra
    )
    return made


class Pyramid(nn.Module):
    """Convolutions with batch normalisation down to a 32nd of the image, and a feature pyramid on the last three."""

    def __init__(self, channels: int, width: int) -> None:
        """Draw fresh weights; ``width`` is the number of channels of the pyramid."""
        super().__init__()
        self.out_channels = width
        widths = (width // 4, width // 2, width, 3 * width // 2, 2 * width)
        blocks, given = [], channels
        for made in widths:
            blocks.append(nn.Sequential(*_convolution(given, made, 2), *_convolution(made, made, 1)))
            given = made
        self.blocks = nn.ModuleList(blocks)
        self.pyramid = FeaturePyramidNetwork(list(widths[2:]), width)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the levels by name, at an 8th, a 16th and a 32nd of the image."""
        levels, found = {}, images
        for number, block in enumerate(self.blocks):
            found = block(found)
            if number > 1:
                levels[str(number)] = found
        pyramid: dict[str, Tensor] = self.pyramid(levels)
        return pyramid


def _convolution(given: int, made: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU()


def small_retina(*, outputs: int, channels: int, width: int, anchor: int) -> Detector:
    """Return a RetinaNet that learns from a few hundred images, from nothing, on two cores.

    Args:
        outputs: Number of classes.
        channels: Channels of the images.
        width: Channels of the pyramid and of its heads, a multiple of 8.
        anchor: Smallest side of the anchors of the finest level, in pixels; each level has three sizes.
    """
    sizes = tuple(tuple(round(anchor * 2**level * part) for part in OCTAVE) for level in range(3))
    anchors = AnchorGenerator(sizes, (RATIOS,) * 3)
    head = RetinaNetHead(width, len(RATIOS) * len(OCTAVE), outputs, norm_layer=partial(nn.GroupNorm, 8))
    return RetinaCandidates(RetinaNet(Pyramid(channels, width), outputs, anchor_generator=anchors, head=head))


ASEPTIC: Mapping[str, str] = {"smallretina": "light RetinaNet"}
"""Names below ``aseptic:``."""
