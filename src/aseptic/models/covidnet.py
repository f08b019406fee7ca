"""The network of COVID-Net: light PEPX blocks, long-range connections, and dense layers that see every place."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from aseptic.core.errors import InputError

CHANNELS = (56, 112, 216, 424)
"""Channels of the four stages."""
BLOCKS = (3, 4, 6, 3)
"""PEPX blocks of each stage."""
DENSE = (1024, 256)
"""Widths of the two dense layers before the logits."""
STEP = 4
"""Channels are multiples of this, so that a half and three quarters of them are whole."""
HALVINGS = 5
"""Times that the sides of an image are halved: by the stem's stride, by its pooling, and before stages 2 to 4."""


def _widths(width: int) -> tuple[int, ...]:
    """Return the channels of the stages for ``width`` channels in the first, in the published proportions."""
    return tuple(max(1, round(width * each / CHANNELS[0] / STEP)) * STEP for each in CHANNELS)


def _places(size: Sequence[int]) -> tuple[int, ...]:
    """Return the sides of the last map of features for images of this size."""
    return tuple((side + 1) // 2 // 2 ** (HALVINGS - 1) for side in size)


def _block(
    given: int, made: int, kernel: int = 1, *, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.BatchNorm2d, nn.Module]:
    layer = nn.Conv2d(given, made, kernel, stride, kernel // 2, groups=groups, bias=False)
    return layer, nn.BatchNorm2d(made), nn.ReLU()


class Pepx(nn.Sequential):
    """Projection, expansion, projection, extension: five convolutions, of which only the middle one sees neighbours.

    From ``c`` channels to ``c / 2``, to ``3 c / 4``, a 3x3 convolution of each channel for itself, back to ``c / 2``,
    and to as many as are asked for. Its last normalisation begins at zero, so that a fresh stage is its path alone.
    """

    def __init__(self, given: int, made: int) -> None:
        """Draw fresh weights for ``given`` channels in, a multiple of 4, and ``made`` channels out."""
        low, high = given // 2, 3 * given // 4
        extension, last, _ = _block(low, made)
        super().__init__(
            *_block(given, low),
            *_block(low, high),
            *_block(high, high, 3, groups=high),
            *_block(high, low),
            extension,
            last,
        )
        nn.init.zeros_(last.weight)


class Stage(nn.Module):
    """PEPX blocks on maps of one size; each is given the sum of all outputs before it in the stage.

    The first block and a 1x1 convolution, the stage's long-range path, look at what enters the stage. The path's output
    counts among those that are summed, and the sum of all is what leaves the stage.
    """

    def __init__(self, given: int, made: int, blocks: int) -> None:
        """Draw fresh weights for ``given`` channels in and ``made`` channels out."""
        super().__init__()
        self.path = nn.Sequential(*_block(given, made))
        self.blocks = nn.ModuleList(Pepx(made if number else given, made) for number in range(blocks))

    def forward(self, features: Tensor) -> Tensor:
        """Return the sum of the path and of all blocks."""
        first, *others = self.blocks
        found: Tensor = self.path(features) + first(features)
        for block in others:
            found = found + block(found)
        return found


class CovidNet(nn.Module):
    """The COVID-Net of three kinds of chest radiographs, for any number of classes, channels and sizes.

    A 7x7 convolution of stride 2 and a pooling, four `Stage` of 3, 4, 6 and 3 blocks with 56, 112, 216 and 424
    channels, a pooling before the second to the fourth, and dense layers of 1024, 256 and ``outputs`` on the flattened
    map. That map is 7 x 7 x 424 for images of 224 pixels, 15 x 15 x 424 for 480, 3 x 3 x 424 for 96, so the weights
    fit one size of images only. For 3 channels and 3 outputs it has 23.0 million parameters at 224 pixels, of which the
    first dense layer holds 21.3, and 99.4 million at 480.

    Paper:
        L. Wang, Z. Q. Lin and A. Wong, COVID-Net: a tailored deep convolutional neural network design for detection of
        COVID-19 cases from chest X-ray images, Scientific Reports 10:19549, 2020 (https://arxiv.org/abs/2003.09871).
        The order of the five convolutions and their kernels are described in words, with the projections going to
        fewer channels and the expansions to more. The stem, the stages with their blocks and channels, the 1x1 paths,
        and flattening before the dense layers are in its figure, which is taken here as most public readings have it,
        iliasprc/COVIDNet among them. Readings differ: that one has one dense layer of 512, others give single blocks
        224 or 400 channels, concatenate where sums are taken here, or have the wider stages of an earlier version.

    Departs from it:
        The paper publishes no weights of this form and no layer table, only TensorFlow graphs; none can be loaded. The
        released COVIDNet-CXR4-A has 40.2 million parameters at 480 x 480, fewer than the 97.7 million that a dense
        layer of 1024 on a map of 15 x 15 x 424 has by itself: it is another network of the same family. Not from the
        paper are: half and three quarters of the channels inside a block, which are those readings'; a normalisation
        after every convolution and ReLU after all but a block's last; sums, with which a stage is a residual one, and
        that residuals begin at zero, without which fresh weights hardly learn; maximum pooling of a stage's sum before
        block and path look at it; logits in place of a softmax; and ``width``.
    """

    def __init__(self, *, outputs: int, channels: int, size: Sequence[int], width: int = CHANNELS[0]) -> None:
        """Draw fresh weights.

        Args:
            outputs: Number of logits.
            channels: Channels of the images.
            size: Sides of the images, at least 32.
            width: Channels of the first stage, a multiple of 4; those of the others and the dense layers are in
                proportion. 56 is that of the figure.

        Raises:
            InputError: The images are too small, or the width is no multiple of 4.
        """
        super().__init__()
        if min(size) < 2**HALVINGS:
            raise InputError(f"size must be at least {2**HALVINGS} along each axis for COVID-Net, got {[*size]}")
        if width % STEP:
            raise InputError(f"option width of COVID-Net must be a multiple of {STEP}, got {width}")
        widths = _widths(width)
        self.stem = nn.Sequential(*_block(channels, widths[0], 7, stride=2))
        self.pool = nn.MaxPool2d(2)
        self.stages = nn.ModuleList(
            Stage(given, made, blocks)
            for given, made, blocks in zip((widths[0], *widths[:-1]), widths, BLOCKS, strict=True)
        )
        first, second = (max(1, round(each * width / CHANNELS[0])) for each in DENSE)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(widths[-1] * math.prod(_places(size)), first),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.ReLU(),
        )
        self.head = nn.Linear(second, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[batch, output]`` for images of the size that the network was made for."""
        found: Tensor = self.stem(images)
        for stage in self.stages:
            found = stage(self.pool(found))
        logits: Tensor = self.head(self.dense(found))
        return logits
