"""Shapes as types: one vocabulary for every floor, checked in the tests by beartype."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Image = Float[Tensor, "channel *space"]
"""One image in [0, 1]; two or three space axes."""
Images = Float[Tensor, "batch channel *space"]
"""Images in [0, 1]; two or three space axes."""
Logits = Float[Tensor, "batch output *place"]
"""Raw scores before any softmax or sigmoid, of each image, of each of its places, or of each candidate object."""
Targets = Int[Tensor, "batch *place"] | Float[Tensor, "batch output"] | Float[Tensor, "batch object 5"]
"""Class numbers of images or of their places; or findings in {0, 1} with NaN for unknown; or objects: label (-1: none),
left, top, right, bottom."""
PerImage = Float[Tensor, " batch"]
"""One number for each image."""
Flags = Bool[Tensor, " batch"]
"""One yes or no for each image."""
Places = Bool[Tensor, "batch *place"]
"""One yes or no for each place of each image."""
Rows = Int[Tensor, " rows"]
"""Positions of images in a batch."""
Number = int | float
"""A plain number; beartype does not take an int where a float is announced."""
