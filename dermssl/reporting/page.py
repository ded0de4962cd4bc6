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
  border-radius: 6px; overflow-x: auto; font-size: .9rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .4rem; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .9rem; max-width: 46rem; }
figure img.plot { width: 100%; max-width: 44rem; height: auto; background: #fff; border-radius: 6px; padding: .4rem; }
.pictures td { border: 0; padding: .15rem .3rem .15rem 0; font-size: .75rem; color: var(--soft); text-align: center; }
.pictures th { border: 0; font-size: .85rem; vertical-align: middle; padding-right: .8rem; white-space: nowrap; }
.pictures img { display: block; width: 5rem; height: 5rem; border-radius: 4px; image-rendering: auto; }
.pictures .good { outline: 2px solid var(--mark); outline-offset: -2px; }
@media print { body { max-width: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""


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


def prose(text: str) -> str:
    """A paragraph."""
    return f"<p>{html.escape(text)}</p>"


def code(text: str) -> str:
    """Lines to type."""
    return f"<pre>{html.escape(text)}</pre>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table; columns after the first are aligned as numbers."""

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = [
            'scope="row"' if tag == "td" and i == 0 else f'class="{"number" if i else ""}"' for i in range(len(values))
        ]
        tags = ["th" if tag == "th" or i == 0 else tag for i in range(len(values))]
        return "".join(f"<{t} {k}>{html.escape(v)}</{t}>" for t, k, v in zip(tags, kinds, values, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{cells('th', header)}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def plot(svg: str, alt: str, caption: str) -> str:
    """A figure from the text of an SVG file, on a white card so that it reads in the dark too."""
    data = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return (
        f'<figure><img class="plot" src="data:image/svg+xml;base64,{data}" alt="{html.escape(alt)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def picture_rows(rows: Sequence[tuple[str, Sequence[Picture]]], caption: str) -> str:
    """Rows of images, each with a name."""
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>' + "".join(f"<td>{_img(p)}</td>" for p in pictures) + "</tr>"
        for name, pictures in rows
    )
    return (
        f'<figure><div class="scroll"><table class="pictures"><tbody>{body}</tbody></table></div>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _img(picture: Picture) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    mark = ' class="good"' if picture.marked else ""
    image = f'<img{mark} src="data:image/png;base64,{data}" alt="{html.escape(picture.alt)}">'
    return image + html.escape(picture.caption)


def write_page(path: Path, title: str, lead: str, sections: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        title: of the page.
        lead: its first paragraph: the result in a sentence or two.
        sections: (heading, blocks) where a block is what the functions of this module return.
    """
    body = "".join(
        f"<section><h2>{html.escape(heading)}</h2>{''.join(blocks)}</section>" for heading, blocks in sections
    )
    write_text(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{html.escape(title)}</h1><p class="lead">{html.escape(lead)}</p>{body}</main></body></html>\n',
    )
