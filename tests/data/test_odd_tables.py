"""Data as people have it, of the kinds of ../shared/cases: nothing is lost or changed without a word."""

import io
import unicodedata
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from dermssl.data.columns import Columns
from dermssl.data.layouts.names import loose
from dermssl.data.read import read_records
from dermssl.data.records import Kind
from dermssl.errors import DermsslError


def draw(folder: Path, *names: str) -> None:
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 5), (index * 67 % 255, index * 31 % 255, 60)).save(path, "JPEG")


def write(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode(encoding))


def labels_of(records) -> dict[str, str | None]:
    return {
        name: records.classes[label] if label >= 0 else None
        for name, label in zip(records.ids, records.labels, strict=True)
    }


def said(records, kind: Kind) -> str:
    return " | ".join(f"{problem.path}: {problem.reason}" for problem in records.problems if problem.kind is kind)


# --- ids on their way through spreadsheets and systems


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        (("IMG1.JPG", "img2.jpg"), ("img1.jpg", "IMG2.JPG")),
        (("isic_0000001.jpg", "isic_0000002.jpg"), ("ISIC_0000001", "ISIC_0000002")),
        (("a.jpg.jpg", "b.jpg.jpg"), ("a", "b.jpg")),
        (("a.jpg", "b.jpg"), ("a.jpg.jpg", "b.png")),
        (("case 1 left.jpg", "case 2 left.jpg"), (" case 1 left ", "case  2 left")),
        (("00001.jpg", "00012.jpg"), ("1", "12")),
        (("1.jpg", "12.jpg"), ("1.0", "12.0")),
        (("a.jpg", "b.jpg"), ('"=""a.jpg"""', "b\u00a0")),
        (("lésion.jpg", "b.jpg"), (unicodedata.normalize("NFD", "lésion"), "b\u200b")),
    ],
)
def test_ids_are_found_however_they_are_spelled(files, ids, tmp_path):
    draw(tmp_path, *files)
    write(tmp_path, f"image,label\n{ids[0]},mel\n{ids[1]},nv\u200b\n")
    records = read_records(tmp_path)
    assert [path.name for path in records.paths] == list(files)
    assert list(labels_of(records).values()) == ["mel", "nv"]
    assert records.problems == ()


def test_an_exact_name_goes_before_one_that_is_alike(tmp_path):
    draw(tmp_path, "a.jpg", "A.jpg", "7.jpg", "07.jpg")
    write(tmp_path, "image,label\na,mel\nA,nv\n7,mel\n07,nv\n")
    records = read_records(tmp_path)
    assert {path.name: label for path, label in zip(records.paths, labels_of(records).values(), strict=True)} == {
        "a.jpg": "mel",
        "A.jpg": "nv",
        "7.jpg": "mel",
        "07.jpg": "nv",
    }


def test_what_is_alike_to_several_is_none_of_them(tmp_path):
    draw(tmp_path, "7.jpg", "07.jpg", "b.jpg")
    write(tmp_path, "image,label\n007,mel\nb,nv\n")
    records = read_records(tmp_path)
    assert [path.name for path in records.paths] == ["b.jpg"]
    assert "007: named in t.csv, but there is no such file" in said(records, Kind.MISSING_FILE)


def test_loose_keeps_apart_what_is_different():
    assert len({loose(name) for name in ("a1", "a01", "1a", "1", "10", "1.5", "a b", "ab", "a_b")}) == 9


def test_two_rows_of_one_file_that_disagree_are_said(tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, "image,label,group\na,mel,g\na.jpg,nv,g\nb,nv,h\nb,nv,i\n")
    records = read_records(tmp_path)
    assert labels_of(records) == {"a": "mel", "b": "nv"}
    assert "a.jpg: a second row, of the file that a names with another label" in said(records, Kind.REPEATED_ROW)
    assert "b: a second row with another lesion" in said(records, Kind.REPEATED_ROW)


def test_numbers_that_a_spreadsheet_has_shortened_are_named(tmp_path):
    draw(tmp_path, "123456789017.jpg", "b.jpg")
    write(tmp_path, "image,label,group\n1.23457E+11,mel,1.23457E+11\nb,nv,1.23457E+11\n")
    records = read_records(tmp_path)
    assert "a spreadsheet has shortened the number" in said(records, Kind.MISSING_FILE)
    assert "have ids such as 1.23457E+11, which a spreadsheet has shortened" in said(records, Kind.GROUP)


def test_groups_of_whole_numbers_are_the_same_with_and_without_a_point(tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path, "image,label,group\na,mel,12.0\nb,nv,12\nc,nv,12.5\n")
    assert read_records(tmp_path).groups == ("12", "12", "12.5")


def test_groups_that_are_spelled_in_several_ways_are_one_and_said(tmp_path):
    ids = ("L1", "l1", "p  2", "P 2", "007", "7", "7.0", "70", "L10")
    draw(tmp_path, *(f"{n}.jpg" for n in range(len(ids))))
    write(tmp_path, "image,label,group\n" + "".join(f"{n},{'mel' if n % 2 else 'nv'},{i}\n" for n, i in enumerate(ids)))
    records = read_records(tmp_path)
    assert records.groups == ("L1", "L1", "p  2", "p  2", "007", "007", "007", "70", "L10")
    assert "3 lesions are spelled in several ways (L1, l1 ...): each is one" in said(records, Kind.GROUP)


def test_what_stands_for_no_lesion_joins_nothing_and_is_said(tmp_path):
    ids = ("?", "?", "-", "-", "N.A.", "missing", "L1", "L1")
    draw(tmp_path, *(f"{n}.jpg" for n in range(len(ids))))
    write(tmp_path, "image,label,lesion_id\n" + "".join(f"{n},{'ab'[n % 2]},{i}\n" for n, i in enumerate(ids)))
    records = read_records(tmp_path)
    assert records.groups == (*(f"image:{n}" for n in range(6)), "L1", "L1")
    assert "2 images have ? as lesion: taken as unknown" in said(records, Kind.GROUP)


# --- tables


@pytest.mark.parametrize(
    ("encoding", "separator"), [("cp1252", ";"), ("utf-16", "\t"), ("utf-8-sig", "|"), ("mac-roman", ";")]
)
def test_tables_of_other_systems(encoding, separator, tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg")
    rows = (("Image", "Label", "Patient"), ("a.jpg", "Nävus", "Müller"), ("b.jpg", "Melanom", "Müller"))
    write(tmp_path, "\r\n".join(separator.join(row) for row in rows), "liste.csv", encoding)
    records = read_records(tmp_path)
    assert labels_of(records) == {"a.jpg": "Nävus", "b.jpg": "Melanom"}
    assert records.groups == ("Müller", "Müller")


def test_one_hot_with_decimal_commas(tmp_path):
    draw(tmp_path, "ISIC_0000001.jpg", "ISIC_0000002.jpg", "ISIC_0000003.jpg")
    rows = "ISIC_0000001;1,0;0,0;0;0;0;0;0\nISIC_0000002;0,0;1,0;0;0;0;0;0\nISIC_0000003;1,0;1,0;0;0;0;0;0\n"
    write(tmp_path, "image;MEL;NV;BCC;AKIEC;BKL;DF;VASC\n" + rows)
    records = read_records(tmp_path)
    assert labels_of(records) == {"ISIC_0000001": "mel", "ISIC_0000002": "nv", "ISIC_0000003": None}
    assert "1 rows mark several classes" in said(records, Kind.LABEL)


def test_a_table_without_a_column_of_the_class_says_so(tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, "image,melanoma,nevus\na,1,0\nb,0,1\n")
    records = read_records(tmp_path)
    assert records.classes == ()
    assert "no column of the class" in records.why_unlabelled()
    assert "melanoma, nevus, of which --label takes one" in records.why_unlabelled()
    assert read_records(Columns(tmp_path, label="nevus")).problems == ()
    write(tmp_path, "image,group,split\na,g,train\nb,g,test\n")  # without labels on purpose
    assert read_records(tmp_path).problems == ()


def test_an_index_without_a_name_is_no_group(tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, ",image,label\n0,a,mel\n1,b,nv\n")
    assert read_records(tmp_path).groups is None


@pytest.mark.parametrize("patient", ["patient", "Patient", "subject_id", "PID"])
@pytest.mark.parametrize("lesions", ["123", "ABC"])
def test_lesions_that_restart_in_every_patient_join_no_patients(patient, lesions, tmp_path):
    rows = [(f"p{p}{lesion}{k}", lesion, f"pat{p}") for p in range(5) for lesion in lesions for k in range(2)]
    draw(tmp_path, *(f"{image}.jpg" for image, *_ in rows))
    table = "".join(f"{image},{'mel' if lesion == lesions[0] else 'nv'},{lesion},{p}\n" for image, lesion, p in rows)
    write(tmp_path, f"image,label,lesion,{patient}\n{table}")
    records = read_records(tmp_path)
    assert records.groups == tuple(p for *_, p in rows)
    assert "lesion numbers start again in every patient" in said(records, Kind.GROUP)


def test_labels_in_a_folder_of_their_own_are_read(tmp_path):
    draw(tmp_path, *(f"data/images/{i}.jpg" for i in range(4)))
    write(tmp_path, "image,label\n" + "".join(f"{i},c{i % 2}\n" for i in range(4)), "labels/labels.csv")
    assert read_records(tmp_path).class_counts() == {"c0": 2, "c1": 2}
    write(tmp_path, "image,label\n9,c1\n", "labels/labels.csv")  # of other images
    records = read_records(tmp_path)
    assert records.classes == ()
    assert "labels/labels.csv" in said(records, Kind.NOT_READ)


@pytest.mark.parametrize("name", ["a.xlsx", "a.ods", "metadata.jsonl", "annotations.json", "data.xml"])
def test_files_that_may_hold_labels_are_named(name, tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, "{}", name)
    assert f"{name}: not read" in read_records(tmp_path).why_unlabelled()


# --- somebody's own classes under the column names of a published set

IMAGES = ("ISIC_0000001", "ISIC_0000002", "ISIC_0000003", "ISIC_0000004")


def table(folder: Path, header: str, *rows: str) -> None:
    draw(folder, *(f"{image}.jpg" for image in IMAGES))
    lines = (f"{image},{row}" for image, row in zip(IMAGES, rows, strict=True))
    write(folder, "\n".join([header, *lines]))


@pytest.mark.parametrize(
    "header", ["isic_id,label", "isic_id,dx", "image_name,label", "bcn_filename,category", "bcn_filename,class"]
)
def test_the_id_column_of_a_known_set_does_not_hide_a_class_column(header, tmp_path):
    table(tmp_path, f"{header},patient_id", "cat,1", "dog,1", "cat,2", "dog,2")
    records = read_records(tmp_path)
    assert (records.layout, records.class_counts()) == ("csv", {"cat": 2, "dog": 2})
    assert records.groups == ("1", "1", "2", "2")


@pytest.mark.parametrize("header", ["image_name,target", "isic_id,target", "image_name,benign_malignant"])
def test_a_shortened_table_of_the_archive_has_benign_and_malignant(header, tmp_path):
    words = ("benign", "malignant") if "benign" in header else ("0", "1")
    table(tmp_path, f"{header},patient_id", f"{words[0]},1", f"{words[1]},2", f"{words[1]},3", "unknown,4")
    records = read_records(tmp_path)
    assert records.layout in ("isic 2020", "isic 2024")
    assert list(labels_of(records).values()) == ["benign", "malignant", "malignant", None]


def test_the_archives_table_with_benign_malignant_alone(tmp_path):
    table(tmp_path, "isic_id,benign_malignant", "benign", "malignant", "", "benign")
    assert list(labels_of(read_records(tmp_path)).values()) == ["benign", "malignant", None, "benign"]


def test_what_is_neither_benign_nor_malignant_is_said(tmp_path):
    table(tmp_path, "image_name,benign_malignant,target", "unknown,1", "benign,0", "2,", "indeterminate,0")
    records = read_records(tmp_path)
    assert list(labels_of(records).values()) == ["malignant", "benign", None, None]
    assert "2 rows have a diagnosis outside the known classes" in said(records, Kind.LABEL)


def test_a_diagnosis_counts_before_benign_or_malignant(tmp_path):
    header = "image_name,diagnosis,benign_malignant"
    table(tmp_path, header, "nevus,benign", "melanoma,malignant", ",benign", "lentigo,benign")
    assert list(labels_of(read_records(tmp_path)).values())[:3] == ["nv", "mel", None]


def test_a_class_column_that_a_known_set_does_not_have_is_named_where_nothing_else_gives_labels(tmp_path):
    table(tmp_path, "image_name,diagnosis,class", "unknown,cat", "unknown,dog", "unknown,cat", "unknown,dog")
    records = read_records(tmp_path)
    assert records.classes == ()
    assert "it has class too, of which --label takes one" in records.why_unlabelled()
    assert read_records(Columns(tmp_path, "class")).class_counts() == {"cat": 2, "dog": 2}


# --- tables of JSON lines


def test_json_lines_are_a_table(tmp_path):
    draw(tmp_path, "train/a.jpg", "train/b.jpg", "test/c.jpg")
    write(
        tmp_path,
        '{"file_name": "a.jpg", "dx": "mel", "lesion_id": "L1", "age": 40, "box": [1, 2]}\r\n\n'
        '{"dx": "nv", "file_name": "b.jpg", "lesion_id": "L1", "age": null, "note": "two\\nlines \u2028 here"}\n',
        "train/metadata.jsonl",
    )
    write(tmp_path, '{"file_name": "c.jpg", "dx": 0}', "test/metadata.jsonl")
    records = read_records(tmp_path)
    assert labels_of(records) == {"train/a.jpg": "mel", "train/b.jpg": "nv", "test/c.jpg": "0"}
    assert records.attributes["split"] == ("train", "train", "test")
    assert records.attributes["age"] == ("40", "", "")
    assert records.attributes["box"] == ("[1, 2]", "", "")
    assert records.groups is not None
    assert records.groups[0] == records.groups[1] != records.groups[2]


def test_json_lines_in_another_encoding_are_said_to_be(tmp_path):
    draw(tmp_path, "a.jpg")
    write(tmp_path, '{"image": "a.jpg", "label": "Lésion"}\n', "t.jsonl", encoding="cp1252")
    records = read_records(tmp_path)
    assert labels_of(records) == {"a.jpg": "Lésion"}
    assert any("is not UTF-8: read as cp1252" in problem.reason for problem in records.problems)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"image": "b.jpg", "label": ', "line 2, is damaged .a row of a table: not JSON"),
        ('["b.jpg", "nv"]', "line 2, is damaged .a row of a table: .* an object"),
        (
            '{"image": "b.jpg", "label": "nv", "label": "mel"}',
            'line 2, is damaged .a row of a table: "label" is there twice',
        ),
        ("[" * 100_000, "line 2, is damaged .a row of a table: nested too deeply"),
    ],
)
def test_a_line_that_is_no_row_is_an_error_with_its_number(line, fault, tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, f'{{"image": "a.jpg", "label": "mel"}}\n{line}\n', "t.jsonl")
    for data in (tmp_path / "t.jsonl", tmp_path):
        with pytest.raises(DermsslError, match=fault):
            read_records(data)


# --- paths of another machine


@pytest.mark.parametrize("start", ["/home/somebody/data", "C:\\Users\\somebody\\data", "\\\\server\\share", "/"])
def test_paths_of_another_machine_are_found_by_their_ends(start, tmp_path):
    draw(tmp_path, "images/a.jpg", "images/b.jpg", "c.jpg")
    slash = "\\" if "\\" in start else "/"
    rows = [slash.join([start, "images", name]) for name in ("a.jpg", "b.jpg")] + [f"/elsewhere/{tmp_path.name}/c.jpg"]
    write(tmp_path, "path,label\n" + "".join(f"{path},{label}\n" for path, label in zip(rows, "xyx", strict=True)))
    records = read_records(tmp_path)
    assert labels_of(records) == {"images/a.jpg": "x", "images/b.jpg": "y", "c.jpg": "x"}
    assert "3 paths of another place: found here by their ends" in said(records, Kind.OUTSIDE)


@pytest.mark.parametrize(
    "path", ["/etc/a.jpg", "/data/malignant/a.jpg", "/x/../images/a.jpg", "../images/a.jpg", "/a.jpg"]
)
def test_a_path_of_another_machine_means_no_other_file_of_its_name(path, tmp_path):
    draw(tmp_path, "images/a.jpg", "images/b.jpg")
    write(tmp_path, f"image,label\n{path},x\nimages/b.jpg,y\n")
    records = read_records(tmp_path)
    assert labels_of(records) == {"images/b.jpg": "y"}
    assert f"{path}: points outside" in said(records, Kind.OUTSIDE)


# --- folders and masks


@pytest.mark.parametrize("folder", ["occlusion", "attributions_ig", "cams", "explanations", "shap values", "gradcam"])
def test_folders_of_maps_are_left_out(folder, tmp_path):
    draw(tmp_path, *(f"{where}/{i}.jpg" for where in ("photographs", folder) for i in range(3)))
    records = read_records(tmp_path)
    assert {path.parent.name for path in records.paths} == {"photographs"}
    assert folder in said(records, Kind.MASK)


@pytest.mark.parametrize("end", ["_heat", "_cam", "-gradcam", "_scorecam", "_occlusion", "_gt", "_bbox"])
def test_maps_beside_their_photographs_are_left_out(end, tmp_path):
    draw(tmp_path, *(f"{name}/{name}{i}{more}.jpg" for name in ("mel", "nv") for i in range(3) for more in ("", end)))
    records = read_records(tmp_path)
    assert records.class_counts() == {"mel": 3, "nv": 3}
    assert len([problem for problem in records.problems if problem.kind is Kind.MASK]) == 6


def test_of_several_pictures_of_an_id_a_csv_takes_that_of_the_images(tmp_path):
    draw(tmp_path, "images/a.jpg", "elsewhere/a.jpg", "images/b.jpg", "images/longer.jpg")
    write(tmp_path, "image,label\na,mel\nb,nv\n")
    records = read_records(tmp_path)
    assert {path.parent.name for path in records.paths} == {"images"}
    assert "2 different pictures have this id" in said(records, Kind.AMBIGUOUS_FILE)


@pytest.mark.parametrize("pieces", [("fold1", "fold2"), ("part_1", "part_2"), ("Batch 1", "Batch 2"), ("set1", "set2")])
def test_classes_inside_pieces_of_a_set_are_read(pieces, tmp_path):
    draw(tmp_path, *(f"{piece}/{name}/{i}.jpg" for piece in pieces for name in ("lupus", "acne") for i in range(3)))
    assert read_records(tmp_path).class_counts() == {"acne": 6, "lupus": 6}


@pytest.mark.parametrize(
    ("folders", "fault"),
    [
        (("batch1/Basel", "batch1/Bern", "batch2/Wien", "batch2/Graz"), "hold folders of their own (Basel, Bern"),
        (("train/lupus", "train/acne", "val/lupus", "val/acne", "more"), "named partly like a part of a set (train)"),
        (("images", "lupus", "acne"), "named partly like a part of a set (images) and partly not (acne)"),
    ],
)
def test_folders_that_may_be_classes_are_named_where_they_are_not_read_as_such(folders, fault, tmp_path):
    draw(tmp_path, *(f"{folder}/{i}.jpg" for folder in folders for i in range(3)))
    records = read_records(tmp_path)
    assert (len(records), records.classes) == (3 * len(folders), ())
    assert fault in records.why_unlabelled()


def test_folders_of_persons_are_no_classes(tmp_path):
    names = "Mueller Schmidt Meier Huber Kern Lang Wolf Fuchs Braun Gross Klein Weiss".split()  # noqa: SIM905
    draw(tmp_path, *(f"{name}/{i}.jpg" for name in names for i in range(3)))
    records = read_records(tmp_path)
    assert records.classes == ()
    assert "12 folders hold few images each" in said(records, Kind.LABEL)


def test_folders_of_patients_inside_those_of_the_classes_are_groups(tmp_path):
    draw(tmp_path, *(f"{name}/patient{p}/{i}.jpg" for name in ("mel", "nv") for p in range(3) for i in range(2)))
    records = read_records(tmp_path)
    assert records.class_counts() == {"mel": 6, "nv": 6}
    assert records.groups is not None
    assert set(records.groups) == {"patient0", "patient1", "patient2"}
    assert "3 folders inside those of the classes" in said(records, Kind.GROUP)


def test_classes_with_many_pictures_beside_them_say_why_they_are_not_read(tmp_path):
    draw(tmp_path, *(f"{name}/{i}.jpg" for name in ("mel", "nv") for i in range(5)), "p1.jpg", "p2.jpg", "p3.jpg")
    records = read_records(tmp_path)
    assert records.classes == ()
    assert "3 images beside the folders mel, nv ...: read without labels" in records.why_unlabelled()


# --- archives


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 5)).save(file, "JPEG")
    return file.getvalue()


def test_an_archive_in_an_archive_is_named(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("c.jpg", picture())
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as file:
        file.writestr("more.zip", inner.getvalue())
        file.writestr("a.jpg", picture())
    assert "more.zip: an archive in an archive" in said(read_records(tmp_path), Kind.LEFT_OUT)


@pytest.mark.parametrize("suffix", [".zst", ".tar.lzma", ".tlz", ".7z", ".iso"])
def test_archives_that_are_not_read_are_named(suffix, tmp_path):
    write(tmp_path, "x", f"a{suffix}")
    with pytest.raises(DermsslError, match=r"left out: unpack it"):
        read_records(tmp_path)


# --- downloads under other names


def test_milk10k_as_its_doi_gives_it(tmp_path):
    """``metadata.csv`` of the Archive on top, the truth in ``supplements/``."""
    draw(tmp_path, *(f"ISIC_000000{i}.jpg" for i in range(4)))
    classes = "AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC"
    truth = f"lesion_id,{classes}\nIL_1,0,0,0,0,0,0,0,1,0,0,0\nIL_2,0,0,0,0,0,0,0,0,1,0,0\n"
    write(tmp_path, truth, "supplements/training_gt.csv")
    kinds = ("dermoscopic", "clinical: close-up")
    rows = "".join(f"ISIC_000000{i},IL_{1 + i // 2},{kinds[i % 2]},CC-BY-NC\n" for i in range(4))
    write(tmp_path, "isic_id,lesion_id,image_type,copyright_license\n" + rows, "metadata.csv")
    records = read_records(tmp_path)
    assert records.layout == "milk10k"
    assert labels_of(records) == {"ISIC_0000000": "mel", "ISIC_0000002": "nv"}
    assert records.groups == ("IL_1", "IL_2")


def test_isic_2024_as_the_challenge_gives_it(tmp_path):
    """Truth, supplement and metadata in tables of their own, joined by ``isic_id``."""
    draw(tmp_path, *(f"ISIC_2024_Training_Input/ISIC_000000{i}.jpg" for i in range(4)))
    write(tmp_path, "isic_id,malignant\n" + "".join(f"ISIC_000000{i},{i % 2}.0\n" for i in range(4)),
          "ISIC_2024_Training_GroundTruth.csv")  # fmt: skip
    write(tmp_path, "isic_id,patient_id,sex\n" + "".join(f"ISIC_000000{i},IP_{i // 2},male\n" for i in range(4)),
          "ISIC_2024_Training_Input/metadata.csv")  # fmt: skip
    supplement = "".join(f"ISIC_000000{i},IL_{i},Nevus\n" for i in range(4))
    write(tmp_path, "isic_id,lesion_id,diagnosis_3\n" + supplement, "ISIC_2024_Training_Supplement.csv")
    records = read_records(tmp_path)
    assert records.class_counts() == {"benign": 2, "malignant": 2}
    assert records.groups == ("IP_0", "IP_0", "IP_1", "IP_1")
    assert records.attributes["sex"] == ("male",) * 4
