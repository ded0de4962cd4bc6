"""Lesions, patients and the split in tables of their own: each image gets what its table says, or a word is said."""

import zipfile
from pathlib import Path

import pytest
from PIL import Image

from dermssl.data.layouts.beside import LESIONS, column_of
from dermssl.data.read import read_records
from dermssl.data.records import Kind

CLASSES = {"mel/a.png": "mel", "mel/b.png": "mel", "nv/c.png": "nv", "nv/d.png": "nv"}


def draw(folder: Path, *names: str) -> None:
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 5), (index * 67 % 255, index * 31 % 255, 60)).save(folder / name)


def write(folder: Path, text: str, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def read(folder: Path) -> dict[str, tuple[str | None, str | None, str]]:
    """file -> class, group, split"""
    records = read_records(folder)
    groups, split = records.groups or (None,) * len(records), records.attributes.get("split", ("",) * len(records))
    return {
        path.relative_to(folder).as_posix(): (records.classes[label] if label >= 0 else None, group, part)
        for path, label, group, part in zip(records.paths, records.labels, groups, split, strict=True)
    }


def said(folder: Path, kind: Kind) -> str:
    return " | ".join(f"{p.path}: {p.reason}" for p in read_records(folder).problems if p.kind is kind)


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        ("image,patient_id", "abcd"),
        ("image,group", ("a.png", "b.png", "c.png", "d.png")),
        ("filename,Subject", ("a.png", "b.png", "c.png", "d.png")),
        ("path,PatientID", ("mel/a.png", "mel/b.png", "nv/c.png", "nv/d.png")),
        ("image_path,LesionID", ("/disk/set/mel/a.png", "/disk/set/mel/b.png", "/disk/set/nv/c.png", "nv/d.png")),
        ("image,lesion_id", "ABCD"),
    ],
)
@pytest.mark.parametrize("labels", ["folders", "table"])
def test_groups_in_a_table_of_their_own(header, ids, labels, tmp_path):
    draw(tmp_path, *CLASSES)
    if labels == "table":
        write(tmp_path, "image,label\n" + "".join(f"{n},{label}\n" for n, label in CLASSES.items()), "labels.csv")
    groups = ("P", "Q", "P", "R")
    write(tmp_path, f"{header}\n" + "".join(f"{i},{g}\n" for i, g in zip(ids, groups, strict=True)), "a.csv")
    wanted = zip(CLASSES, CLASSES.values(), groups, strict=True)
    assert read(tmp_path) == {name: (label, group, "") for name, label, group in wanted}
    with zipfile.ZipFile(tmp_path.parent / "set.zip", "w") as archive:
        for path in tmp_path.rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
    zipped = read_records(tmp_path.parent / "set.zip")
    assert (zipped.groups, zipped.class_counts()) == (groups, {"mel": 2, "nv": 2})


def test_a_split_beside_class_folders_does_not_cost_the_classes(tmp_path):
    draw(tmp_path, *CLASSES)
    write(tmp_path, "image,split\na,train\nb,test\nc,train\nd,test\n", "split.csv")
    parts = ("train", "test", "train", "test")
    assert read(tmp_path) == {
        name: (label, None, part) for (name, label), part in zip(CLASSES.items(), parts, strict=True)
    }
    assert "split.csv: no column of the class: the folders of the images (mel, nv)" in said(tmp_path, Kind.LABEL)


def test_folders_of_patients_stay_groups_beside_a_split(tmp_path):
    draw(tmp_path, "mel/P001/a.png", "mel/P002/b.png", "nv/P001/c.png", "nv/P003/d.png")
    write(tmp_path, "image,split\na,train\nb,test\nc,train\nd,test\n", "split.csv")
    assert [group for _, group, _ in read(tmp_path).values()] == ["P001", "P002", "P001", "P003"]


def test_files_that_are_numbered_anew_in_each_folder_keep_their_own_lesions(tmp_path):
    names = ["benign/1.png", "benign/2.png", "malignant/1.png", "malignant/2.png"]
    draw(tmp_path, *names)
    write(tmp_path, "image,label\n" + "".join(f"{name},{name[:-6]}\n" for name in names), "labels.csv")
    lines = "".join(f"{name},{group}\n" for name, group in zip(names, "ABCD", strict=True))
    write(tmp_path, f"image,lesion_id\n{lines}", "lesions.csv")
    assert [group for _, group, _ in read(tmp_path).values()] == ["A", "B", "C", "D"]
    # a bare name may mean either, and a path of another folder neither
    write(tmp_path, "image,lesion_id\n1.png,A\nother/2.png,A\nmalignant/2.png,D\n", "lesions.csv")
    assert [group for _, group, _ in read(tmp_path).values()] == [*(f"image:{name}" for name in names[:3]), "D"]
    assert "lesions.csv: 3 images have no row in it: each of them is its own group" in said(tmp_path, Kind.GROUP)


@pytest.mark.parametrize("header", ["image,label", "image,patient_id", "image,lesion_id"])
def test_the_split_of_folders_is_kept_whatever_the_tables_say(header, tmp_path):
    names = [f"{part}/{label}/1.png" for part in ("train", "test") for label in ("mel", "nv")]
    draw(tmp_path, *names)
    write(tmp_path, f"{header}\n" + "".join(f"{name},{name.split('/')[1]}\n" for name in names), "a.csv")
    assert {name: (label, part) for name, (label, _, part) in read(tmp_path).items()} == {
        name: (name.split("/")[1], name.split("/")[0]) for name in names
    }


def test_what_a_table_lacks_the_next_one_may_say(tmp_path):
    draw(tmp_path, "a.png", "b.png", "c.png", "d.png")
    write(tmp_path, "image,label\na,x\nb,y\nc,x\nd,y\n", "labels.csv")
    write(tmp_path, "image,lesion_id\na,L1\nb,L1\n", "lesions.csv")
    write(tmp_path, "image,patient_id\nc,P1\nd,01\n", "patients.csv")
    assert [group for _, group, _ in read(tmp_path).values()] == ["L1", "L1", "P1", "01"]
    assert said(tmp_path, Kind.GROUP) == ""


def test_a_table_in_the_folder_of_a_part_speaks_of_its_own_files(tmp_path):
    draw(tmp_path, *(f"{part}/{name}/1.png" for part in ("train", "test") for name in ("mel", "nv")))
    for part in ("train", "test"):
        write(tmp_path, f"file,patient\nmel/1.png,{part}1\nnv/1.png,{part}2\n", f"{part}/patients.csv")
    groups = [group for _, group, _ in read(tmp_path).values()]
    assert groups == ["test1", "test2", "train1", "train2"]


def test_two_lesions_of_one_image_are_said_and_repeated_rows_of_a_label_have_theirs(tmp_path):
    draw(tmp_path, "a.png", "b.png")
    write(tmp_path, "image,label\na,mel\na,mel\nb,nv\n", "labels.csv")
    write(tmp_path, "image,lesion_id\na,L1\na,L2\nb,L1\n", "lesions.csv")
    assert [group for _, group, _ in read(tmp_path).values()] == ["L1", "L1"]
    assert "1 images with more than one lesion in lesion_id: the first is used" in said(tmp_path, Kind.REPEATED_ROW)


@pytest.mark.parametrize("labels", ["folders", "table"])
def test_lists_of_ids_without_a_header_are_the_split(labels, tmp_path):
    draw(tmp_path, *CLASSES)
    if labels == "table":
        write(tmp_path, "image,label\na,mel\nb,mel\nc,nv\nd,nv\n", "labels.csv")
    write(tmp_path, "a\nc\nd\n", "train.txt")
    write(tmp_path, "b\n", "test.txt")
    assert [part for _, _, part in read(tmp_path).values()] == ["train", "test", "train", "train"]
    assert [label for label, _, _ in read(tmp_path).values()] == ["mel", "mel", "nv", "nv"]


@pytest.mark.parametrize("labelled", [True, False])
def test_lists_of_the_parts_beside_the_labels_are_the_split(labelled, tmp_path):
    draw(tmp_path, *CLASSES)
    write(
        tmp_path, "image,label\n" + "".join(f"{Path(n).name},{label}\n" for n, label in CLASSES.items()), "labels.csv"
    )
    for part, names in (("train", "ac"), ("val", "d"), ("test", "b")):
        lines = (f"{name}.png,{'mel' if name in 'ab' else 'nv'}" if labelled else f"{name}.png" for name in names)
        write(tmp_path, "\n".join([*(["image,label"] if labelled else []), *lines]) + "\n", f"{part}.csv")
    parts = ("train", "test", "train", "val")
    assert read(tmp_path) == {
        name: (label, None, part) for (name, label), part in zip(CLASSES.items(), parts, strict=True)
    }
    write(tmp_path, "image\nb.png\na.png\n", "test.csv")
    assert "1 images are in several of" in said(tmp_path, Kind.REPEATED_ROW)


def test_several_divisions_are_none(tmp_path):
    draw(tmp_path, *CLASSES)
    write(tmp_path, "image,label\na,x\nb,x\nc,y\nd,y\n", "labels.csv")
    for fold, names in enumerate(("acbd", "bdac")):
        write(tmp_path, "image\n{}\n{}\n".format(*names[:2]), f"train_fold{fold}.csv")
        write(tmp_path, "image\n{}\n{}\n".format(*names[2:]), f"val_fold{fold}.csv")
    assert {part for _, _, part in read(tmp_path).values()} == {""}
    assert "divide the same images in several ways" in said(tmp_path, Kind.NOT_READ)


@pytest.mark.parametrize(("labels", "others"), [("xxyy", 0), ("1122", 0), ("xyyy", 1), ("yyyx", 1)])
def test_a_table_of_patients_with_other_labels_is_said(labels, others, tmp_path):
    draw(tmp_path, *CLASSES)
    write(tmp_path, "image,label\na,x\nb,x\nc,y\nd,y\n", "labels.csv")
    lines = "".join(f"{name},{label},P{name}\n" for name, label in zip("abcd", labels, strict=True))
    write(tmp_path, f"image,label,patient\n{lines}", "labels_2.csv")
    assert [(label, group) for label, group, _ in read(tmp_path).values()] == [
        *zip("xxyy", ("Pa", "Pb", "Pc", "Pd"), strict=True)
    ]
    assert said(tmp_path, Kind.LABEL).count(f"{others} images have another label in its column label") == bool(others)


def test_tables_of_labels_below_class_folders_are_named(tmp_path):
    draw(tmp_path, *(f"{site}/{name}.png" for site in ("siteA", "siteB") for name in "ab"))
    for site in ("siteA", "siteB"):
        write(tmp_path, "image,label,patient\na.png,mel,1\nb.png,nv,2\n", f"{site}/labels.csv")
    assert said(tmp_path, Kind.NOT_READ).count("several CSVs lie below the folder") == 2


def test_an_image_in_two_parts_is_in_the_first_and_said(tmp_path):
    draw(tmp_path, *CLASSES)
    write(tmp_path, "image,label\nmel/a.png,x\nnv/c.png,y\n", "train.csv")
    write(tmp_path, "image,label\nmel/b.png,x\nnv/d.png,y\na,x\nnv/c.png,y\n", "test.csv")
    assert [part for _, _, part in read(tmp_path).values()] == ["train", "train", "test", "test"]
    repeated = said(tmp_path, Kind.REPEATED_ROW)
    assert "nv/c.png: a second row with another split: the first is used" in repeated
    assert "a: a second row, of the file that mel/a.png names with another split: the first is used" in repeated


def test_a_table_that_is_no_whole_of_the_parts_does_not_replace_them(tmp_path):
    draw(tmp_path, *CLASSES)
    write(tmp_path, "image,label\na.png,mel\nc.png,nv\n", "train.csv")
    write(tmp_path, "image,label\nd.png,nv\n", "val.csv")
    write(tmp_path, "image,label\nb.png,x\n", "sample_submission.csv")
    assert "x" not in {label for label, _, _ in read(tmp_path).values()}


def test_where_the_group_is_blank_the_lesion_counts(tmp_path):
    draw(tmp_path, *(f"{name}.png" for name in "abcde"))
    rows = "a,mel,g1,L1\nb,mel,,L1\nc,nv,,L2\nd,nv,,L2\ne,nv,,\n"
    write(tmp_path, f"image,label,group,lesion_id\n{rows}", "labels.csv")
    assert [group for _, group, _ in read(tmp_path).values()] == ["g1", "g1", "L2", "L2", "image:e"]


@pytest.mark.parametrize("labels", ["folders", "table"])
def test_a_table_of_pairs_is_named_with_what_to_do(labels, tmp_path):
    draw(tmp_path, *CLASSES)
    if labels == "table":
        write(tmp_path, "image,label,file\na,x,a.png\nb,x,b.png\nc,y,c.png\nd,y,d.png\n", "labels.csv")
    write(tmp_path, "image_name_1,image_name_2\na,b\nc.png,mel/a.png\n", "duplicates.csv")
    write(tmp_path, "image_no,file_no\na,a.png\nb,b.png\n", "names.csv")
    not_read = [problem for problem in read_records(tmp_path).problems if "--join" in problem.reason]
    assert [(problem.path, problem.kind) for problem in not_read] == [("duplicates.csv", Kind.NOT_READ)]


def test_columns_in_other_spellings():
    assert column_of(("Image", "Lesion ID"), LESIONS) == "Lesion ID"
    assert column_of(("lesion-no", "LesionId"), LESIONS) == "LesionId"
    assert column_of(("image", ""), LESIONS) == ""
