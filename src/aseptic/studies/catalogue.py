"""Every study by its name."""

from typing import Any

from aseptic.core.registry import Registry
from aseptic.studies.frame.study import Study

STUDIES: Registry[Study[Any]] = Registry(
    "study",
    {
        "fiba2022": "aseptic.studies.fiba2022.study:STUDY",
        "matsuo2021": "aseptic.studies.matsuo2021.study:STUDY",
        "nwadike2021": "aseptic.studies.nwadike2021.study:STUDY",
    },
)
