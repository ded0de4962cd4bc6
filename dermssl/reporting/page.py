"""One self-contained HTML page from sections: no network, opens from disk, light and dark, phone and print."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dermssl.files import write_text
from dermssl.privacy import spoken
from dermssl.terminal import visible

_STYLE = """
:root { color-scheme: light dark; --text: #1c2024; --soft: #60646c; --line: #d9dce1; --back: #ffffff; --card: #f4f5f7;
  --mark: #0b6e5f; }
@media (prefers-color-scheme: dark) { :root { --text: #e8eaed; --soft: #a0a6ad; --line: #3a3f45; --back: #15181b;
  --card: #1e2226; --mark: #5ec9b5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--back); color: var(--text);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
p { max-width: 46rem; } .lead { font-size: 1.1rem; } pre { background: var(--card); padding: .8rem 1rem;
  border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .4rem; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; } td.words { overflow-wrap: anywhere; min-width: 7rem; }
thead th { vertical-align: bottom; }
figure { margin: 1rem 0; } figcaption { margin-top: .3rem; color: var(--soft); font-size: .9rem; max-width: 46rem; }
figure img.plot { width: 100%; max-width: 44rem; height: auto; background: #fff; border-radius: 6px; padding: .4rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: .6rem;
  max-width: 46rem; }
.matrix td { text-align: center; border: 1px solid var(--line); padding: .35rem .5rem; min-width: 3rem; }
.matrix thead th { text-align: center; padding: .35rem .5rem; }
.pictures td { border: 0; padding: .15rem .3rem .15rem 0; font-size: .75rem; color: var(--soft); text-align: center; }
.pictures th { border: 0; font-size: .85rem; vertical-align: middle; padding-right: .8rem; white-space: nowrap; }
.pictures img { display: block; width: 5rem; height: 5rem; border-radius: 4px; image-rendering: auto; }
.pictures .good { outline: 2px solid var(--mark); outline-offset: -2px; }
tbody th { font-weight: 500; }
@media (max-width: 40rem) { table { font-size: .85rem; } th, td { padding-right: .5rem; }
  .matrix td, .matrix thead th { padding: .3rem .2rem; min-width: 2.2rem; font-size: .8rem; } }
@media (max-width: 40rem) { /* a phone: the name above its images, which share the width and stay in columns */
  table.pictures, .pictures tbody { display: block; }
  .pictures tr { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); margin-bottom: .6rem; }
  .pictures th { grid-column: 1 / -1; padding: .2rem 0; } .pictures td { overflow-wrap: anywhere; }
  .pictures img { width: 100%; max-width: 8rem; height: auto; margin: auto; } }
@media print { :root { color-scheme: light; --text: #000; --soft: #444; --line: #bbb; --back: #fff; --card: #f4f5f7;
  --mark: #0b6e5f; } * { print-color-adjust: exact; } body { max-width: none; padding: 0; font-size: 11pt; }
  h2 { break-after: avoid; } figure, tr, pre, .plots img, .matrix { break-inside: avoid; }
  .scroll { overflow: visible; } }
"""

# the browser itself keeps the page from fetching or running anything, whatever a name in the data contains
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Picture:
    """An image in a row of images.

    Attributes:
        pixels: (H, W, 3) uint8.
        alt: what it shows, for those who do not see it.
        caption: printed under it.
        marked: drawn with a frame.
    """

    pixels: np.ndarray
    alt: str
    caption: str = ""
    marked: bool = False


def escape(text: str) -> str:
    """The text as HTML, fit to be handed on."""
    return html.escape(spoken(text))


def prose(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def code(text: str) -> str:
    """Lines to type."""
    return f"<pre>{html.escape(visible(text))}</pre>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, numbers: bool = True) -> str:
    """A table; columns after the first are aligned as ``numbers`` or as words."""
    kind = ' class="number"' if numbers else ' class="words"'

    def cell(value: str, column: int) -> str:
        if column == 0:
            return f'<th scope="row">{escape(value)}</th>'
        return f"<td{kind}>{escape(value)}</td>"

    body = "".join(f"<tr>{''.join(cell(value, i) for i, value in enumerate(row))}</tr>" for row in rows)
    return _scrolled(f"<table>{_caption(caption)}{_head(header, kind)}<tbody>{body}</tbody></table>", caption)


def matrix(counts: Sequence[Sequence[int]], names: Sequence[str], caption: str, *, corner: str = "") -> str:
    """A confusion matrix as a table: the counts, each shaded by its share of the row.

    Args:
        counts: (C, C), rows are labels.
        names: of the C classes.
        corner: what rows and columns are, for the cell where they meet.
    """
    body = ""
    for name, row in zip(names, counts, strict=True):
        # at most 0.6 of the blue: text in the page's own colour is readable on it, in the light and in the dark
        cells = (
            f'<td style="background:rgb(0 114 178 / {0.6 * count / max(sum(row), 1):.3f})">{count:,}</td>'
            for count in row
        )
        body += f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'
    head = _head([corner, *names])
    return _scrolled(f'<table class="matrix">{_caption(caption)}{head}<tbody>{body}</tbody></table>', caption)


def _caption(text: str) -> str:
    return f"<caption>{escape(text)}</caption>"


def _head(names: Sequence[str], kind: str = "") -> str:
    cells = (f'<th scope="col"{kind if i else ""}>{escape(name)}</th>' for i, name in enumerate(names))
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _scrolled(content: str, name: str) -> str:
    """What is wider than a phone moves by itself, not the page; by the keyboard too, hence the tabindex."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">{content}</div>'


def plot(svg: str, alt: str, caption: str) -> str:
    """A figure from the text of an SVG file, on a white card so that it reads in the dark too."""
    return f"<figure>{_svg(svg, alt)}<figcaption>{escape(caption)}</figcaption></figure>"


def plots(svgs: Sequence[tuple[str, str]], caption: str) -> str:
    """Several figures under one caption, beside one another where there is room.

    Args:
        svgs: (text of an SVG file, what it shows for those who do not see it) each.
    """
    images = "".join(_svg(svg, alt) for svg, alt in svgs)
    return f'<figure><div class="plots">{images}</div><figcaption>{escape(caption)}</figcaption></figure>'


def _svg(svg: str, alt: str) -> str:
    data = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return f'<img class="plot" src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}">'


def picture_rows(rows: Sequence[tuple[str, Sequence[Picture]]], caption: str) -> str:
    """Rows of images, each with a name."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{_img(p)}</td>" for p in pictures) + "</tr>"
        for name, pictures in rows
    )
    columns = max((len(pictures) for _, pictures in rows), default=1)
    pictures_table = f'<table class="pictures" style="--columns:{columns}"><tbody>{body}</tbody></table>'
    return f"<figure>{_scrolled(pictures_table, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def _img(picture: Picture) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    mark = ' class="good"' if picture.marked else ""
    image = f'<img{mark} src="data:image/png;base64,{data}" alt="{escape(picture.alt)}">'
    return image + escape(picture.caption)


def write_html(path: Path, title: str, lead: str, sections: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Write the page. Absolute paths in its texts are cut to their last part.

    Args:
        path: of the HTML file.
        title: of the page.
        lead: its first paragraph: the result in a sentence or two.
        sections: (heading, blocks) where a block is what the functions of this module return.
    """
    body = "".join(f"<section><h2>{escape(heading)}</h2>{''.join(blocks)}</section>" for heading, blocks in sections)
    write_text(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{body}</main></body></html>\n',
    )
