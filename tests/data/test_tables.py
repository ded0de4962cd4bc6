"""Tables as people save them: encodings, separators, headers, quotes; and what is refused, by its line."""

import os

import pytest
from PIL import Image

from dermssl.data.layouts.table import read_columns, read_table
from dermssl.data.read import read_records
from dermssl.errors import DermsslError

TEXT = "image;label\na.jpg;Nävus\nb.jpg;mélanome\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "mac-roman"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_usual_encoding_and_separator(tmp_path, encoding, separator):
    (tmp_path / "t.csv").write_bytes(TEXT.replace(";", separator).encode(encoding))
    assert read_columns(tmp_path / "t.csv") == ("image", "label")
    assert [row["label"] for row in read_table(tmp_path / "t.csv").rows] == ["Nävus", "mélanome"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf16_with_and_without_its_mark(tmp_path, encoding, mark):
    (tmp_path / "t.csv").write_bytes((mark + TEXT * 400).encode(encoding))
    assert len(read_table(tmp_path / "t.csv").rows) == 1199  # the header repeats as rows


def test_a_one_byte_encoding_is_said(tmp_path):
    (tmp_path / "t.csv").write_bytes(TEXT.encode("cp1252"))
    assert "read as cp1252" in read_table(tmp_path / "t.csv").problems[0].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\na.jpg,x\nb.jpg,nevus, blue\n", r"t.csv, line 3: 3 cells, where the header names 2 columns"),
        ("image,label,,\na.jpg,nevus, blue,\n", r"line 2: 4 cells.*one too many"),
        ('image,label\na.jpg,"x\nb.jpg,y\nc.jpg,z\n', r"line 4: cannot be read as a table"),
        ('image,label\na.jpg,"x\nb.jpg,y\nc.jpg,z"\n', r"line 2: a quote that opens here is closed in line 4 only"),
        ('image,label\na.jpg,"x"y\n', r"line 2: cannot be read"),
    ],
)
def test_a_row_that_the_header_does_not_fit_is_refused_by_its_line(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DermsslError, match=message):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "text",
    [
        "Image,Label,,\na.jpg,x,,\n",
        "sep=;\nimage;label\na.jpg;x\n",
        "\n\nimage,label\na.jpg,x\n",
        "a.jpg,x\n",
        "filename,class\na.jpg,x\n",
        "file_name,label\na.jpg,x\n",
    ],
)
def test_odd_headers_are_understood(tmp_path, text):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    (tmp_path / "set.csv").write_text(text)
    records = read_records(tmp_path)
    assert (records.layout, records.classes) == ("csv", ("x",))


@pytest.mark.parametrize("name", ["labels.xlsx", "metadata.jsonl", "set.csv", "labels.txt"])
def test_a_table_that_was_not_read_is_named_with_what_to_do(tmp_path, name):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    (tmp_path / name).write_text("picture,kind,site\na.jpg,x,leg\n")
    problems = {problem.path: problem.reason for problem in read_records(tmp_path).problems}
    assert problems[name].startswith("not read: ")


def test_a_fifo_in_the_place_of_a_table_is_named_and_not_opened(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "set.csv")
    assert [problem.reason for problem in read_records(tmp_path).problems] == ["not read: a FIFO, not a file"]


def test_a_huge_table_is_refused(tmp_path):
    with open(tmp_path / "set.csv", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(DermsslError, match="is larger than"):
        read_records(tmp_path / "set.csv")


def test_short_rows_are_said_and_a_fifo_as_data_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text("image,label,site\na.jpg,x,leg\nb.jpg\n")
    assert (
        "1 rows have fewer cells than the header (first: line 3)" in read_table(tmp_path / "t.csv").problems[0].reason
    )
    os.mkfifo(tmp_path / "set.csv")
    with pytest.raises(DermsslError, match="is a FIFO, socket or device"):
        read_records(tmp_path / "set.csv")


def test_lesions_that_no_layout_uses_and_empty_tables_are_named(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    (tmp_path / "groups.csv").write_text("image_id,lesion_id\na,L1\n")
    (tmp_path / "empty.csv").write_text("")
    problems = {problem.path: problem.reason for problem in read_records(tmp_path).problems}
    assert "its column 'image_id' names the images" in problems["groups.csv"]
    assert problems["empty.csv"] == "not read: it is empty"
