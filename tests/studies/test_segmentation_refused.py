"""What an audit says to a model of segmentations."""

import pytest
import torch
from nets import segnet

from aseptic.core.errors import InputError
from aseptic.data.imageset import memory_set
from aseptic.studies.audit.pairing import pair


def test_an_audit_refuses_segmentations_and_says_what_serves_them():
    data = memory_set("scans", torch.rand((2, 1, 8, 8)))
    with pytest.raises(
        InputError, match=r"only multiclass and multilabel models .* got segmentation; see aseptic\.run"
    ):
        pair(segnet(), data)
