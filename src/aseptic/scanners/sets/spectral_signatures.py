"""Spectral signatures: poison lies far along the main direction of its label (Tran, Li and Madry, 2018)."""

from dataclasses import dataclass

import torch

from aseptic.models.features import Rows
from aseptic.scanners.sets.base import FeatureScanner, Look, Others


@dataclass(frozen=True, kw_only=True)
class SpectralSignatures(FeatureScanner):
    r"""Score :math:`n \langle f(x) - \bar f, v \rangle^2 / \sigma_1^2` within each class of ``n`` images.

    ``v`` is the top right singular vector of the centred features ``f`` of the class, and ``sigma_1`` its singular
    value. Poisoned images that sit together, away from the others, tilt ``v`` towards themselves. The statistic of a
    class is the share of its variance that lies along ``v``, :math:`\sigma_1^2 / \sum_i \sigma_i^2`, in [0, 1].

    Paper: https://arxiv.org/abs/1811.00636, algorithm 1.
    Departs from it: divided by the variance along ``v``, so that classes compare (the mean of a class is 1; the order
    within it stays); nothing is removed or trained again; findings are looked at one by one.
    Blind to: poison that leaves no shift of the mean in ``f``, or one smaller than what varies in the class anyway;
    to half of a class and more, where nobody can say which half it is.
    """

    def look(self, rows: Rows, rest: Others, *, seed: int) -> Look:
        """Return the squared coordinate of every image along the top singular vector."""
        del rest, seed
        centred = rows.double() - rows.double().mean(0)
        left, values, _ = torch.linalg.svd(centred, full_matrices=False)
        power = values.square()
        if not power.sum() > 0:
            return Look(suspicion=torch.ones(len(rows)), statistic=0.0)
        suspicion = len(rows) * left[:, 0].square()
        return Look(suspicion=suspicion.float(), statistic=float(power[0] / power.sum()))
