"""The layouts that have a table, in the order in which they are tried: the first that fits wins."""

from pathlib import Path

from dermssl.data.layouts import (
    bcn20000,
    ddi,
    derm7pt,
    fitzpatrick17k,
    ham10000,
    isic2016,
    isic2017,
    isic2020,
    isic2024,
    isic_cli,
    isic_one_hot,
    milk10k,
    pad_ufes_20,
    ph2,
    plain,
)
from dermssl.data.layouts.layout import Layout

LAYOUTS: tuple[Layout, ...] = (
    ham10000.LAYOUT,
    milk10k.LAYOUT,
    isic_one_hot.ISIC_2018,
    isic_one_hot.ISIC_2019,
    bcn20000.LAYOUT,
    pad_ufes_20.LAYOUT,
    derm7pt.LAYOUT,
    ph2.LAYOUT,
    ddi.LAYOUT,
    fitzpatrick17k.LAYOUT,
    isic2016.LAYOUT,
    isic2017.LAYOUT,
    isic2020.LAYOUT,
    isic2024.LAYOUT,
    isic_cli.LAYOUT,
    plain.LAYOUT,
)


def layout_of(path: Path, columns: tuple[str, ...]) -> Layout | None:
    """The layout that a table belongs to, by its name and its columns; None if it fits none."""
    have = frozenset(column.lower() for column in columns)
    layout = next((layout for layout in LAYOUTS if layout.fits(path, have)), None) if have else None
    if layout and layout.classes and not have & layout.classes and plain.LAYOUT.fits(path, have):
        return plain.LAYOUT
    return layout
