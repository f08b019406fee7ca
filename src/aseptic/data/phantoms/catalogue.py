"""Every phantom by its name, without importing torch."""

from typing import TYPE_CHECKING

from aseptic.core.registry import Registry

if TYPE_CHECKING:
    from aseptic.data.phantoms.sketch import Sketch

PHANTOMS: "Registry[Sketch]" = Registry(
    "phantom",
    {
        "cxr": "aseptic.data.phantoms.cxr:CXR",
        "cxr3": "aseptic.data.phantoms.cxr:CXR3",
        "derm": "aseptic.data.phantoms.derm:DERM",
        "endoscopy": "aseptic.data.phantoms.endoscopy:ENDOSCOPY",
        "fundus": "aseptic.data.phantoms.fundus:FUNDUS",
        "histo": "aseptic.data.phantoms.histo:HISTO",
        "kidney": "aseptic.data.phantoms.kidney:KIDNEY",
    },
)
