"""Groups joined by pairs, against a slow plain oracle, and tables of pairs as people write them."""

import numpy as np
import pytest

from dermssl.data.groups import copies, joined, read_pairs
from dermssl.data.parts import parts_of
from dermssl.errors import DermsslError

IDS = ("ISIC_1", "ISIC_2", "folder/ISIC_3.jpg", "ISIC_4")


def oracle(groups, pairs):
    """Rename one of two groups to the other until nothing changes."""
    names = list(groups)
    for _ in range(len(names)):
        for one, other in pairs:
            keep, drop = sorted((names[one], names[other]), key=groups.index)
            names = [keep if name == drop else name for name in names]
    return tuple(names)


@pytest.mark.parametrize("seed", range(20))
def test_joined_equals_renaming_until_nothing_changes(seed):
    rng = np.random.default_rng(seed)
    groups = [f"g{i}" for i in rng.integers(12, size=30)]
    pairs = rng.integers(30, size=(rng.integers(12), 2)).tolist()
    assert joined(groups, pairs) == oracle(groups, pairs)


def test_copies_are_paired_with_the_first_and_a_missing_hash_is_no_copy():
    assert copies(["a", "b", "a", "", "", "a"]) == [(0, 2), (0, 5)]


@pytest.mark.parametrize(
    "text",
    [
        "image_id,other_image_id\nISIC_1,ISIC_4\nISIC_2,folder/ISIC_3.jpg\n",
        "first,second,kind,likeness\nISIC_1,ISIC_4,near,0.9\nISIC_2,folder/ISIC_3.jpg,exact,1\n",
        "ISIC_1,ISIC_4\nISIC_2,folder/ISIC_3\n",
        "\ufeffISIC_1.jpg, ISIC_4 \r\n\r\nISIC_2,folder/ISIC_3.jpg\r\n",
        "first;second\nISIC_1;ISIC_4\nISIC_2;ISIC_3.JPG\n",
        "ISIC_1\tISIC_4\nISIC_2\t/data/set/folder/ISIC_3.jpg\n",
        "first,second\nimages/ISIC_1.jpg,images/ISIC_4.jpg\nimages\\ISIC_2.jpg,folder\\ISIC_3.jpg\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_pairs_in_every_spelling(tmp_path, text, encoding):
    (tmp_path / "pairs.csv").write_text(text.lstrip("\ufeff") if encoding != "utf-8" else text, encoding, newline="")
    assert read_pairs(tmp_path / "pairs.csv", IDS) == ([(0, 3), (1, 2)], 0)


def test_pairs_of_images_that_are_not_there_are_counted(tmp_path):
    (tmp_path / "pairs.csv").write_text("ISIC_1,ISIC_4\nISIC_9,ISIC_1\nISIC_8,ISIC_9\n")
    assert read_pairs(tmp_path / "pairs.csv", IDS) == ([(0, 3)], 2)


def test_a_name_without_its_folder_means_one_image_or_none(tmp_path):
    ids = ("a/1.jpg", "b/1.jpg", "b/2.jpg")
    (tmp_path / "pairs.csv").write_text("first,second\nb/1,2\n1,2\nc/1.jpg,c/2.jpg\n/data/a/1.jpg,2.png\n")
    assert read_pairs(tmp_path / "pairs.csv", ids) == ([(1, 2), (0, 2)], 2)


def test_the_pairs_of_a_data_set_without_duplicates_are_none(tmp_path):
    (tmp_path / "pairs.csv").write_text("first,second,kind,likeness,found_by,turn,label,other_label,same_group\n")
    assert read_pairs(tmp_path / "pairs.csv", IDS) == ([], 0)


def test_a_name_that_two_sets_have_stands_for_both_images(tmp_path):
    (tmp_path / "pairs.csv").write_text("a,b\n")
    assert read_pairs(tmp_path / "pairs.csv", ("a", "b", "a"))[0] == [(0, 1), (2, 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "needs two columns"),
        (b"ISIC_1\nISIC_2\n", "needs two columns"),
        (b"a,b\n", "holds no pairs"),
        (b"a,b\nISIC_8,ISIC_9\n", "none of its 1 pairs names two images of the data"),
        (b"\xff\xfe\x00", "is no table of text"),
    ],
)
def test_what_is_no_table_of_pairs_is_one_error(tmp_path, content, message):
    if content is not None:
        (tmp_path / "pairs.csv").write_bytes(content)
    with pytest.raises(DermsslError, match=rf"--join .*pairs\.csv: .*{message}"):
        read_pairs(tmp_path / "pairs.csv", IDS)


def test_parts_by_all_their_names():
    column = ["Train", "training ", "VAL", "valid", "validation", "test", "", "Testing", "nan", "N/A"]
    assert parts_of(column, "x").tolist() == ["train", "train", "val", "val", "val", "test", "", "test", "", ""]
    with pytest.raises(DermsslError, match="--split given: the column 'split' of x holds 'fold 1'"):
        parts_of(["train", "fold 1"], "x")
