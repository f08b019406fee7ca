"""Outlines of structures on a picture."""

import numpy as np

from aseptic.studies.yardsticks.drawing import COLOURS, SIDE, outlined


def test_outlines_lie_on_the_edge_and_nowhere_else():
    labels = np.zeros((64, 64), int)
    labels[8:24, 8:24], labels[40:56, 30:60] = 1, 2
    base = np.full((64, 64, 3), 90, np.uint8)
    drawn = outlined(base, labels, (1, 2))
    factor = SIDE // 64
    assert drawn.shape == (SIDE, SIDE, 3)
    for structure, colour in zip((1, 2), COLOURS.values(), strict=False):
        painted = (drawn == colour).all(2)
        inside = (labels == structure).repeat(factor, 0).repeat(factor, 1)
        assert painted[inside].any()
        assert not painted[~inside].any()
        rows, columns = np.nonzero(inside)
        assert painted[rows.min(), columns.min()]
        assert not painted[(rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2]
    untouched = (labels == 0).repeat(factor, 0).repeat(factor, 1)
    assert (drawn[untouched] == 90).all()


def test_large_pictures_keep_their_size():
    base = np.zeros((300, 280, 3), np.uint8)
    assert outlined(base, np.zeros((300, 280), int), (1,)).shape == base.shape
