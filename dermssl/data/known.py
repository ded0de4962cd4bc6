"""The published sets: licence and attribution, by the layout that records were recognised by."""

from dermssl.data.layouts.ham10000 import SYNTHETIC
from dermssl.data.layouts.layout import DataSet
from dermssl.data.layouts.registry import LAYOUTS
from dermssl.privacy import last_part

# layout of the records -> the set
KNOWN: dict[str, DataSet] = {layout.name: layout.dataset for layout in (*LAYOUTS, SYNTHETIC) if layout.dataset}


def name_of(layout: str | None, source: str | None) -> str:
    """How a card calls a set: its published name, else the name of its folder, never a path on somebody's disk."""
    if layout in KNOWN:
        return KNOWN[layout].name
    return last_part(source) or "unnamed images"
