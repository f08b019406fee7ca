"""The null distribution of a set from itself: what changes places, what stays, and what stands out of it."""

import math

import numpy as np
import pytest
import torch
from made_up import normal, poisoned

from aseptic.core.rng import stream
from aseptic.scanners.sets import Beatrix, Evidence, SpectralSignatures, null_statistics, permuted


def test_what_the_labels_do_not_explain_changes_places():
    evidence, _ = poisoned()
    dealt = permuted(evidence, stream(0, "deal"))
    sums = [torch.stack([e.rows[e.targets == k].double().mean(0) for k in range(3)]) for e in (evidence, dealt)]
    residuals = evidence.rows.double() - sums[0][evidence.targets]
    torch.testing.assert_close(dealt.rows.double().norm(dim=1).sort().values, residuals.norm(dim=1).sort().values,
                               atol=1e-4, rtol=1e-4)  # fmt: skip
    torch.testing.assert_close(dealt.rows.sum(0), torch.zeros(12), atol=1e-3, rtol=0)
    assert dealt.targets is evidence.targets


def test_the_fit_on_findings_is_least_squares():
    targets = torch.rand((30, 2), generator=stream(0, "targets")).round()
    targets[3, 0] = math.nan
    evidence = Evidence(rows=normal(30, 4, name="rows"), targets=targets, classes=("a", "b"))
    dealt = permuted(evidence, stream(0, "deal"))
    design = np.column_stack([np.ones(30), targets.nan_to_num(0.5).numpy()])
    rows = evidence.rows.double().numpy()
    wanted = rows - design @ np.linalg.lstsq(design, rows, rcond=None)[0]
    order = torch.randperm(30, generator=stream(0, "deal"))
    torch.testing.assert_close(dealt.rows.double(), torch.from_numpy(wanted)[order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scanner", [SpectralSignatures(), Beatrix(orders=(1,))], ids=["signatures", "Beatrix"])
def test_poison_stands_out_of_the_null_and_clean_features_do_not(scanner):
    evidence, _ = poisoned(bad=15, shift=20.0)
    clean, _ = poisoned(bad=0)
    null = null_statistics(scanner, evidence, draws=19)
    assert scanner.judge(evidence).statistic > null.max()
    null = null_statistics(scanner, clean, draws=19)
    assert 0 < (null >= scanner.judge(clean).statistic).sum() < 19
    assert (null_statistics(scanner, clean, draws=3) == null[:3]).all()
