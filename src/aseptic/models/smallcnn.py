"""The project's own reference network: six convolutions, trained in minutes on two cores."""

from torch import Tensor, nn

CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class SmallCNN(nn.Module):
    """Three stages of two convolutions with batch normalisation, a global mean and one linear layer.

    The first stage halves the image by its stride, the others end in a pooling layer, so that an image of 64 x 64 is
    seen at 32, 16 and 8. Images and volumes of any size of at least 8 are accepted.
    """

    def __init__(
        self, *, outputs: int, channels: int, spatial_dims: int = 2, width: int = 24, dropout: float = 0.0
    ) -> None:
        """Draw fresh weights.

        Args:
            outputs: Number of logits.
            channels: Channels of the images.
            spatial_dims: 2 for images, 3 for volumes.
            width: Channels of the first stage; the others have twice and four times as many.
            dropout: Share of features dropped before the linear layer, in [0, 1).
        """
        super().__init__()
        convolution, norm, pool = CONVOLUTIONS[spatial_dims], NORMS[spatial_dims], POOLS[spatial_dims]

        def block(given: int, made: int, stride: int = 1) -> list[nn.Module]:
            layer = convolution(given, made, 3, stride=stride, padding=1, bias=False)
            return [layer, norm(made), nn.ReLU()]

        self.features = nn.Sequential(
            *block(channels, width, stride=2),
            *block(width, width),
            pool(2),
            *block(width, 2 * width),
            *block(2 * width, 2 * width),
            pool(2),
            *block(2 * width, 4 * width),
            *block(4 * width, 4 * width),
        )
        self.space = tuple(range(2, 2 + spatial_dims))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[batch, output]``."""
        found: Tensor = self.head(self.dropout(self.features(images).mean(self.space)))
        return found
