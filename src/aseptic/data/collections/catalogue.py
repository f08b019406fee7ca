"""Every collection by its name, without importing torch."""

from typing import TYPE_CHECKING

from aseptic.core.registry import Registry

if TYPE_CHECKING:
    from aseptic.data.collections.base import Collection

COLLECTIONS: "Registry[type[Collection]]" = Registry(
    "collection",
    {
        "covidx5": "aseptic.data.collections.covidx5:Covidx5",
        "ead2019": "aseptic.data.collections.ead2019:Ead2019",
        "isic2019": "aseptic.data.collections.isic2019:Isic2019",
        "kits19": "aseptic.data.collections.kits19:Kits19",
        "nih14": "aseptic.data.collections.nih14:Nih14",
    },
)
"""Adding a collection is one module and one line here."""
