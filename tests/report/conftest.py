"""Run folders and their pages, made once for all tests of the report."""

import fake_run
import fake_study
import pytest

from aseptic.report import build


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Return the page of each kind of run, by its name."""
    root = tmp_path_factory.mktemp("runs")
    return {make.__name__: build(make(root / make.__name__)) for make in KINDS}


KINDS = (fake_run.binary, fake_run.infected, fake_run.multilabel, fake_run.broken, fake_study.study)
