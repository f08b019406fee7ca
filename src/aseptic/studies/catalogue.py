"""Every study by its name."""

from typing import Any

from aseptic.core.registry import Registry
from aseptic.studies.frame.study import Study

STUDIES: Registry[Study[Any]] = Registry("study", {})
