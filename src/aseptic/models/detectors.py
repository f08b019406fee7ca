"""Torchvision's detectors as networks that can be audited: images in, every raw candidate out, differentiably.

A detector answers ``[batch, outputs + 4, candidate]``: first one logit for each class (its sigmoid is the score), then
the corners left, top, right, bottom of the candidate's box, in pixels of the image that it was fed. Thresholds and the
suppression of doubles belong to the task (`aseptic.tasks.detection`), not to the network.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou, clip_boxes_to_image

from aseptic.core.errors import InputError
from aseptic.core.types import Images

Candidates = Float[Tensor, "batch answer candidate"]
"""Logits of the classes, then the four corners, of every candidate."""
Truth = Float[Tensor, "batch object 5"]
"""Label, left, top, right, bottom of every object; label -1 where there is none."""
NEVER = -30.0
"""Logit of what is no candidate at all; its score is 1e-13."""
LEAST = 0.01
"""Side of the smallest box that a Faster R-CNN proposes or detects, in pixels, as in torchvision."""
MOST = 1000
"""Candidates that are kept, the most likely ones; as many as torchvision keeps of each level."""


class Detector(nn.Module, ABC):
    """A detector without its own resizing, normalisation, thresholds and suppression of doubles."""

    @abstractmethod
    def forward(self, images: Images) -> Candidates:
        """Return every candidate of images that are normalised and of the right size."""

    @abstractmethod
    def training_loss(self, images: Images, targets: Truth) -> Float[Tensor, ""]:
        """Return torchvision's own training loss, the sum of its parts; in training mode."""


class RetinaCandidates(Detector):
    """A RetinaNet (Lin et al., 2017): a candidate for each anchor, its box decoded and clipped to the image.

    Where there are more than ``most`` anchors, those with the largest logits are kept, in the order of the anchors.
    """

    def __init__(self, network: RetinaNet, *, most: int = MOST) -> None:
        """Take over the parts of ``network``, under the same names, so that its weight files fit."""
        super().__init__()
        self.training = network.training
        self.backbone, self.head = network.backbone, network.head
        self.anchor_generator = network.anchor_generator
        self.matcher, self.coder = network.proposal_matcher, network.box_coder
        self.most = most

    def forward(self, images: Images) -> Candidates:
        """Return ``[batch, outputs + 4, candidate]``; the number of candidates depends on the size alone."""
        found, anchors = self._raw(images)
        logits, moves = found["cls_logits"], found["bbox_regression"]
        if logits.shape[1] > self.most:
            best = logits.detach().amax(2).topk(self.most, dim=1).indices.sort(dim=1).values[..., None]
            logits = logits.gather(1, best.expand(-1, -1, logits.shape[2]))
            moves, anchors = moves.gather(1, best.expand(-1, -1, 4)), anchors.gather(1, best.expand(-1, -1, 4))
        boxes = self.coder.decode_single(moves.flatten(0, 1), anchors.flatten(0, 1)).reshape(moves.shape)
        return torch.cat([logits, clip_boxes_to_image(boxes, _size(images))], 2).transpose(1, 2)

    def training_loss(self, images: Images, targets: Truth) -> Float[Tensor, ""]:
        """Return the focal loss of the anchors plus the L1 loss of the boxes of those that match an object."""
        found, anchors = self._raw(images)
        truth = _dictionaries(targets, shift=0)
        matched = [self._match(one["boxes"], own) for one, own in zip(truth, anchors, strict=True)]
        losses: dict[str, Tensor] = self.head.compute_loss(truth, found, list(anchors), matched)
        return torch.stack(list(losses.values())).sum()

    def _raw(self, images: Images) -> tuple[dict[str, Tensor], Float[Tensor, "batch anchor 4"]]:
        levels = list(self.backbone(images).values())
        return self.head(levels), torch.stack(self.anchor_generator(_listed(images), levels))

    def _match(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.long, device=anchors.device)
        matched: Tensor = self.matcher(box_iou(boxes, anchors))
        return matched


class ProposalCandidates(Detector):
    """A Faster R-CNN (Ren et al., 2015): a candidate for each proposal of its first stage and each class.

    Its logit is the log-odds of that class, ``z_k - logsumexp(z_others)`` with the background among the others, so that
    the sigmoid is the softmax; its box is the one that the second stage decodes for that class; its other logits are
    `NEVER`. So are all logits of boxes without an area, and of the proposals that are missing to a fixed number.
    As in torchvision, no gradient passes through the choice and the corners of the proposals.
    """

    def __init__(self, network: FasterRCNN) -> None:
        """Take over the parts of ``network``, under the same names, so that its weight files fit."""
        super().__init__()
        self.training = network.training
        self.backbone, self.rpn, self.roi_heads = network.backbone, network.rpn, network.roi_heads

    def forward(self, images: Images) -> Candidates:
        """Return ``[batch, outputs + 4, proposals * outputs]``."""
        size = _size(images)
        levels = self.backbone(images)
        with _evaluating(self.rpn):
            proposals, _ = self.rpn(_listed(images), levels)
            most: int = self.rpn.post_nms_top_n()
        pooled = self.roi_heads.box_head(self.roi_heads.box_roi_pool(levels, proposals, [size] * len(images)))
        answers, moves = self.roi_heads.box_predictor(pooled)
        placed = self.roi_heads.box_coder.decode(moves, proposals).reshape(*answers.shape, 4)
        boxes = clip_boxes_to_image(placed, size)[:, 1:]
        odds = torch.stack(
            [
                answers[:, k] - torch.cat([answers[:, :k], answers[:, k + 1 :]], 1).logsumexp(1)
                for k in range(1, answers.shape[1])
            ],
            1,
        )
        own = torch.eye(odds.shape[1], dtype=torch.bool, device=odds.device)
        real = (boxes[..., 2:] - boxes[..., :2] >= LEAST).all(2)
        spread = odds[:, :, None].where(own & real[:, :, None], NEVER)  # [proposal, candidate, logit]
        found = torch.cat([spread, boxes], 2)
        empty = torch.cat([found.new_full((odds.shape[1],), NEVER), found.new_zeros(4)])
        whole = empty.expand(len(images), most, odds.shape[1], -1).clone()
        counts = [len(one) for one in proposals]
        for row, part in enumerate(torch.split(found, counts)):
            whole[row, : counts[row]] = part
        return whole.flatten(1, 2).transpose(1, 2)

    def training_loss(self, images: Images, targets: Truth) -> Float[Tensor, ""]:
        """Return the losses of both stages; the proposals and anchors that count are drawn with torch's generator."""
        truth = _dictionaries(targets, shift=1)
        levels = self.backbone(images)
        proposals, first = self.rpn(_listed(images), levels, truth)
        _, second = self.roi_heads(levels, proposals, [_size(images)] * len(images), truth)
        return torch.stack([*first.values(), *second.values()]).sum()


@contextmanager
def _evaluating(part: nn.Module) -> Iterator[None]:
    """Put a part into evaluation mode, and back: torchvision ties the number of proposals to the mode."""
    mode = part.training
    part.eval()
    try:
        yield
    finally:
        part.train(mode)


def as_detector(network: nn.Module) -> nn.Module:
    """Return a network that gives candidates: torchvision's detectors wrapped, any other as it is."""
    if isinstance(network, RetinaNet):
        return RetinaCandidates(network)
    if isinstance(network, FasterRCNN):
        return ProposalCandidates(network)
    return network


def training_loss(network: nn.Module, images: Images, targets: Truth) -> Float[Tensor, ""]:
    """Return the training loss of a detector.

    Raises:
        InputError: The network has none.
    """
    if not isinstance(network, Detector):
        raise InputError(
            f"a detector that is trained must be a RetinaNet or a Faster R-CNN, got {type(network).__name__}"
        )
    return network.training_loss(images, targets)


def _size(images: Images) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _listed(images: Images) -> ImageList:
    return ImageList(images, [_size(images)] * len(images))


def _dictionaries(targets: Truth, shift: int) -> list[dict[str, Tensor]]:
    """Return the objects of each image as torchvision takes them; Faster R-CNN calls the background 0."""
    return [
        {"labels": one[there, 0].long() + shift, "boxes": one[there, 1:]}
        for one, there in zip(targets, targets[..., 0] >= 0, strict=True)
    ]
