"""Answers of a model to images, in evaluation mode and without gradients."""

import torch

from aseptic.core.types import Images, Logits
from aseptic.data.imageset import ImageSet
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject


def predict(subject: Subject, images: Images, batch_size: int) -> Logits:
    """Return logits on the CPU."""
    device = next((parameter.device for parameter in subject.parameters()), images.device)
    with untouched(subject), torch.no_grad():
        return torch.cat([subject(part.to(device)).float().cpu() for part in torch.split(images, batch_size)])


def predict_set(subject: Subject, data: ImageSet, batch_size: int) -> Logits:
    """Return logits for every image of a set, read as they are needed."""
    return torch.cat([predict(subject, batch.images, batch_size) for batch in data.batches(batch_size)])
