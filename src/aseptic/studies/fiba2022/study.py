"""Feng et al. (2022), "FIBA": what it claims, where its code parts from it, and how it is run."""

from collections.abc import Sequence

from aseptic.report.study.card import Chart
from aseptic.studies.fiba2022.grid import cells
from aseptic.studies.fiba2022.measures import measures
from aseptic.studies.fiba2022.settings import RIVALS, Settings, open_data, settings
from aseptic.studies.frame.claims import Claim, above, at_least
from aseptic.studies.frame.scales import AtScale
from aseptic.studies.frame.study import Setup, Study
from aseptic.studies.frame.traps import Trap
