"""The parts of a model card that say what the weights may be used for, under which licence, and how to cite them."""

import math
import textwrap
from typing import Any

from dermssl import __version__
from dermssl.backbones.convert import CONVERTED
from dermssl.data.known import KNOWN
from dermssl.hub.markdown import code, fenced, text
from dermssl.methods.registry import METHODS

PAPER_SEEN = 200 * 33_126  # epochs and images of the paper's pretraining
_SOFTWARE = """\
@software{dermssl,
  title   = {dermssl: self-supervised pretraining of timm backbones on dermoscopy images},
  author  = {{The dermssl developers}},
  version = {VERSION}
}"""


def limits(record: dict[str, Any]) -> str:
    """What it is for and what it is not."""
    return textwrap.dedent(
        """\
        ## Intended use and limits

        For research: as a starting point for classifiers, for retrieval and for looking at sets of dermoscopy images.

        - **Not a medical device.** It makes no diagnosis, and nothing built on it does so without a clinical study of
          its own.
        - It has seen NAME only. Skin tones, body sites, age groups, diagnoses, cameras and clinics that are rare or
          absent there are not covered; public dermoscopy sets show mostly light skin.
          Measure on images of your own patients, group by group, before you rely on a figure.
        - It was made for dermoscopy, not for clinical photographs taken from a distance, nor for histology.
        - Rulers, ink, hair, gel and vignettes are in the images it learned from, and it may have learned them.
        - Where the evaluation images come from the set it was pretrained on, it has seen them (without labels): the
          figures below may then be better than on other images."""
    ).replace("NAME", " and ".join(map(text, _seen_sets(record)))) + _budget(record)


def _seen_sets(record: dict[str, Any]) -> list[str]:
    """The sets that the weights have seen, in the runs before, too; of a converted checkpoint its file is known."""
    names = [
        f"what {run['data']['name']} was trained on" if CONVERTED in run else run["data"]["name"]
        for run in [*record["before"], record]
    ]
    return list(dict.fromkeys(names))


def _budget(record: dict[str, Any]) -> str:
    """What a training shorter than half of the paper's has to say of itself."""
    seen = sum(map(_seen, [*record["before"], record]))
    if seen > PAPER_SEEN / 2:
        return ""
    size = record["resolved"].get("image_size")
    return "\n" + textwrap.dedent(
        f"""\
        - **A small budget**: it was shown {seen:,} images at {size} px; the paper's training
          shows {PAPER_SEEN:,} at 224 px. Expect more of a longer one."""
    )


def _seen(run: dict[str, Any]) -> float:
    """Images that a run has shown: made; planned where nothing tells; without end where nothing was planned."""
    resolved = run["resolved"]
    steps, batch = run["training"].get("steps", resolved.get("steps")), resolved.get("batch_size")
    return math.inf if steps is None or batch is None else steps * batch


def licence(record: dict[str, Any]) -> str:
    """The licence of the weights, and whose it is."""
    if record["license"] is None:
        return (
            "## Licence\n\n**Not specified.** It is not known what the licence of the images allows; ask whoever made "
            "these weights before you use them."
        )
    credit = " Name the sources of the images that stand under *Training data*." if record["attribution"] else ""
    why = ", as the images it was trained on" if record["data"]["layout"] in KNOWN else ""
    return f"## Licence\n\n{code(record['license'])}{why}.{credit}"


def citation(record: dict[str, Any]) -> str:
    """The paper of the method, and this software."""
    software = _SOFTWARE.replace("VERSION", str(record["versions"].get("dermssl", __version__)))
    method = METHODS.get(record["method"])
    paper = f"The method: {method.citation}.\n\n" if method and method.citation else ""
    bibtex = f"{fenced(method.bibtex, 'bibtex')}\n\n" if method and method.bibtex else ""
    return f"## Citation\n\n{paper}{bibtex}The software:\n\n{fenced(software, 'bibtex')}"
