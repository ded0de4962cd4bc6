"""The published sets: licence and attribution, by the layout that records were recognised by."""

from dermssl.data.layouts.ham10000 import SYNTHETIC
from dermssl.data.layouts.layout import DataSet
from dermssl.data.layouts.registry import LAYOUTS

# layout of the records -> the set
KNOWN: dict[str, DataSet] = {layout.name: layout.dataset for layout in (*LAYOUTS, SYNTHETIC) if layout.dataset}
