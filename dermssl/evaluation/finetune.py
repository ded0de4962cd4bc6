"""Transfer: a classifier trained on labelled images, on frozen features or with the whole network."""

from pathlib import Path

from torch import nn

from dermssl.data.cache import Cache
from dermssl.evaluation.arguments import FinetuneOptions
from dermssl.evaluation.fitted import check_output, made_by
from dermssl.evaluation.report import Report
from dermssl.evaluation.transfer import Transfer
from dermssl.files import refuse_unwritable
from dermssl.options import takes


@takes(FinetuneOptions)
def finetune(weights: str | Path | nn.Module, data: str | Path | Cache, options: FinetuneOptions) -> Report:
    """Train a classifier in every fold and test it on the fold left out.

    One that was stopped while it trained the whole network goes on after its last whole fold when it is called again.

    Args:
        weights: a run or exported directory, a ``.safetensors`` file, ``hf-hub:org/name``, ``timm:NAME``,
            ``random:NAME``, or a timm model (which is left as it is).
        data: labelled images.
        options: the fields of `FinetuneOptions`, by keyword.

    Raises:
        DermsslError: the data holds no labels or one class, a test label is unknown to the training data, an
            option is out of range, the training diverges, or ``output`` holds something or cannot be written.
        NotSaved: the answers or the model cannot be written after all; it holds the report.
    """
    if options.predictions is not None:
        refuse_unwritable(options.predictions, "--predictions")
    if options.output is not None and made_by(options.output) is None:
        check_output(options.output)
    transfer = Transfer.prepare(weights, data, options)
    return transfer.evaluate(fraction=options.fraction, predictions=options.predictions, output=options.output)
