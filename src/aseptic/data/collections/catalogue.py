"""Every collection by its name, without importing torch."""

from typing import TYPE_CHECKING

from aseptic.core.registry import Registry

if TYPE_CHECKING:
    from aseptic.data.collections.base import Collection

COLLECTIONS: "Registry[type[Collection]]" = Registry(
    "collection",
    {
        "covidx5": "aseptic.data.collections.covidx5:Covidx5",
        "nih14": "aseptic.data.collections.nih14:Nih14",
    },
)
"""Adding a collection is one module and one line here."""
