"""k nearest neighbours on frozen features: how good are they as they are, with nothing trained on top?"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.data.cache import Cache
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import KnnOptions
from dermssl.evaluation.late import save_answers
from dermssl.evaluation.report import Report
from dermssl.evaluation.scoring import make_report
from dermssl.evaluation.setup import Setup, divide, features_of
from dermssl.files import refuse_unwritable
from dermssl.options import takes

QUERY_CHUNK = 1024
BANK_CHUNK = 16384  # 1024 x 16384 similarities in float32 are 64 MB


@takes(KnnOptions)
def evaluate_knn(weights: str | Path | nn.Module, data: str | Path | Cache, options: KnnOptions) -> Report:
    """Classify each image by its ``k`` nearest neighbours (cosine) among the training folds' frozen features.

    Args:
        weights: a run or exported directory, a ``.safetensors`` file, ``hf-hub:org/name``, ``timm:NAME``,
            ``random:NAME``, or a timm model.
        data: labelled images.
        options: the fields of `KnnOptions`, by keyword; the paper has k = 100 and uniform votes.

    Raises:
        DermsslError: k is larger than the bank, the data holds no labels or one class, a test label is
            unknown to the bank, a column or a division is not there, or a feature is NaN.
        NotSaved: the answers cannot be written; it holds the report.
    """
    if options.predictions is not None:
        refuse_unwritable(options.predictions, "--predictions")
    k = options.k
    setup = Setup.by(weights, options)
    protocol, columns = divide(setup, data, options)
    smallest = min(len(round_.train) for round_ in protocol.rounds)
    if k > smallest:
        raise DermsslError(f"--k {k}: the bank holds only {smallest} images; use --k {smallest} or less, or more data")
    train_features, test_features = features_of(setup, protocol)
    answers = []
    labels = torch.from_numpy(protocol.train.labels)
    for round_ in protocol.rounds:
        answer = knn_probabilities(
            torch.from_numpy(train_features[round_.train]),
            labels[torch.from_numpy(round_.train)],
            torch.from_numpy(test_features[round_.test]).to(setup.device),
            k=k,
            classes=len(protocol.train.classes),
            weighting=options.weighting,
        )
        answers.append(answer.cpu().numpy())
    report = make_report(
        "knn",
        setup,
        data,
        options,
        protocol.noted(),
        answers,
        by=columns,
        k=k,
        metric="cosine",
        weighting=options.weighting,
        feature_width=train_features.shape[1],
    )
    save_answers(report, options.predictions)
    return report


def knn_probabilities(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    *,
    k: int,
    classes: int,
    weighting: str = "uniform",
    query_chunk: int = QUERY_CHUNK,
    bank_chunk: int = BANK_CHUNK,
) -> Tensor:
    """Share of the votes of the ``k`` nearest neighbours by cosine similarity, exact.

    Never holds more than ``query_chunk`` x ``bank_chunk`` similarities, so a bank of millions may stay in
    host memory.

    Args:
        bank: (M, D) float, on any device; copied to that of ``queries`` chunk by chunk.
        bank_labels: (M,) int64 in [0, classes).
        queries: (N, D) float.
        k: neighbours, at most M.
        classes: C.
        weighting: ``"uniform"``, or ``"distance"``: 1 / (1 - cosine); where a neighbour is at distance 0,
            only those at distance 0 vote (as scikit-learn does).

    Returns:
        (N, C) float64 on the queries' device, rows sum to 1.
    """
    where = queries.device
    votes = torch.zeros(len(queries), classes, dtype=torch.float64, device=where)
    labels = bank_labels.to(where)
    for start in range(0, len(queries), query_chunk):
        chunk = F.normalize(queries[start : start + query_chunk], dim=1)
        similarity, neighbour = nearest(bank, chunk, k, bank_chunk)
        vote = torch.ones_like(similarity, dtype=torch.float64)
        if weighting == "distance":
            distance = (1 - similarity.double()).clamp_(min=0)
            zero = distance == 0
            vote = torch.where(zero.any(dim=1, keepdim=True), zero.double(), 1 / distance)
        votes[start : start + query_chunk].scatter_add_(1, labels[neighbour], vote)
    return votes / votes.sum(dim=1, keepdim=True)


def nearest(bank: Tensor, unit_queries: Tensor, k: int, chunk: int) -> tuple[Tensor, Tensor]:
    """(n, k) similarities and bank indices of the nearest, over the bank chunk by chunk."""
    where = unit_queries.device
    best = unit_queries.new_empty(len(unit_queries), 0)
    index = torch.empty(len(unit_queries), 0, dtype=torch.long, device=where)
    for start in range(0, len(bank), chunk):
        # normalised here, a thousandth of the product's work, and no second copy of the bank is held
        part = F.normalize(bank[start : start + chunk].to(where), dim=1)
        similarity = unit_queries @ part.T
        top, position = similarity.topk(min(k, similarity.shape[1]), dim=1, sorted=False)
        best, index = torch.cat([best, top], dim=1), torch.cat([index, position + start], dim=1)
        if best.shape[1] > k:
            best, keep = best.topk(k, dim=1, sorted=False)
            index = index.gather(1, keep)
    return best, index
