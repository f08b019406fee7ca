"""Activation clustering: the features of a poisoned label fall into two clusters (Chen et al., 2018)."""

from dataclasses import dataclass

import torch

from aseptic.core.errors import InputError
from aseptic.models.features import Rows
from aseptic.scanners.sets.base import FeatureScanner, Look, Others

SEEDS = 2**32
"""Seeds that scikit-learn takes are below this."""


@dataclass(frozen=True, kw_only=True)
class ActivationClustering(FeatureScanner):
    r"""Split the features of each class in two by k-means, and see how well the two are apart.

    An image's silhouette is :math:`s = (d' - d) / \max(d, d')` with its distances ``d`` and ``d'`` to the centre of its
    own cluster and of the other. The statistic of a class is the mean silhouette, in [0, 1]; the detail ``share`` is
    that of the smaller cluster, which is where poison is expected. The suspicion is the statistic times ``s`` in the
    smaller cluster, and times ``-s`` in the larger one.

    Paper: https://arxiv.org/abs/1811.03728, section 4.
    Departs from it: principal instead of independent components, which need not converge; silhouettes to centres
    (Hruschka et al., 2004), which need no table of all pairs; a graded suspicion instead of the smaller cluster as a
    whole; no second training to see what the cluster is taken for; findings are looked at one by one.
    Blind to: poison that does not form a cluster of its own; classes that consist of two kinds of clean images.
    """

    components: int = 10
    """Principal components that are kept."""
    restarts: int = 10
    """Beginnings of k-means, the best of which counts."""

    def __post_init__(self) -> None:
        """Check the domains."""
        super().__post_init__()
        for name in ("components", "restarts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")

    def look(self, rows: Rows, rest: Others, *, seed: int) -> Look:
        """Return how deep every image lies in the smaller of two clusters."""
        from sklearn.cluster import KMeans  # noqa: PLC0415 - a second to import
        from sklearn.decomposition import PCA  # noqa: PLC0415 - a second to import

        del rest
        if not rows.double().std(0).sum() > 0:
            return Look(suspicion=torch.zeros(len(rows)), statistic=0.0, details={"share": 0.0})
        reduced = PCA(min(self.components, *rows.shape), svd_solver="full").fit_transform(rows.double().numpy())
        clusters = KMeans(2, n_init=self.restarts, random_state=seed % SEEDS).fit(reduced)
        smaller = int(2 * clusters.labels_.sum() < len(rows))
        distances = torch.from_numpy(clusters.transform(reduced))
        near, far = distances[:, smaller], distances[:, 1 - smaller]
        lean = (far - near) / torch.maximum(near, far)  # the two centres differ, so one distance is above 0
        statistic = float(lean.abs().mean())
        share = float((torch.from_numpy(clusters.labels_) == smaller).double().mean())
        return Look(suspicion=(statistic * lean).float(), statistic=statistic, details={"share": share})
