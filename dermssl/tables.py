"""Markdown tables of figures."""

import math


def percent(value: float) -> str:
    """A fraction of 1 in per cent, for a table."""
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def markdown_table(header: list[str], rows: list[list[str]], *, padded: bool = True) -> str:
    """A Markdown table, ``padded`` so that it reads as a table in a terminal too."""
    header, *rows = ([_cell(text) for text in row] for row in [header, *rows])
    if not padded:
        lines = ["| " + " | ".join(row) + " |" for row in [header, *rows]]
        return "\n".join([lines[0], "|" + " --- |" * len(header), *lines[1:]])
    # two at least: a rule of ":" alone is none
    widths = [max(2, *(len(row[i]) for row in [header, *rows])) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def _cell(text: str) -> str:
    """The text on one line, with its bars escaped: names of classes and messages of errors may hold either."""
    return " ".join(text.splitlines()).replace("|", r"\|")
