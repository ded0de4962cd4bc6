"""Files that hold the same bytes, in one data set or in two."""

from collections.abc import Sequence


def exact_pairs(hashes: Sequence[Sequence[str]]) -> set[tuple[int, int]]:
    """Pairs of rows of equal files: each with the first such file (of the other set, if there are two).

    Args:
        hashes: of the files of each set, whose rows are numbered through.
    """
    pairs = set()
    first: dict[str, int] = {}
    for row, digest in enumerate(hashes[0]):
        if digest in first and len(hashes) == 1:
            pairs.add((first[digest], row))
        first.setdefault(digest, row)
    if len(hashes) == 2:
        start = len(hashes[0])
        second = {digest: start + row for row, digest in reversed(list(enumerate(hashes[1])))}
        pairs |= {(first[digest], start + row) for row, digest in enumerate(hashes[1]) if digest in first}
        pairs |= {(row, second[digest]) for row, digest in enumerate(hashes[0]) if digest in second}
    return pairs
