"""Records: every layout in its real column names, and what is wrong with a data folder."""

import csv
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermssl.data.layouts.classes import class_of_diagnosis
from dermssl.data.prepare import cached, prepare
from dermssl.data.read import read_records
from dermssl.errors import DermsslError


def write_images(folder: Path, *names: str) -> None:
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 9), (20 * index % 255, 90, 60)).save(path)


def write_csv(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n", encoding="utf-8")


def by_id(records):
    """id -> (class name or None, group or None)"""
    groups = records.groups or (None,) * len(records)
    names = [records.classes[label] if label >= 0 else None for label in records.labels]
    return dict(zip(records.ids, zip(names, groups, strict=True), strict=True))


HAM = """lesion_id,image_id,dx,dx_type,age,sex,localization,dataset
    HAM_0000001,ISIC_0000001,nv,histo,45.0,male,back,rosendahl
    HAM_0000001,ISIC_0000002,nv,histo,45.0,male,back,rosendahl
    HAM_0000002,ISIC_0000003,akiec,histo,,female,face,vidir_modern
    HAM_0000003,ISIC_0000004,mel,histo,60.0,female,face,vidir_modern"""
HAM_FILES = [f"ISIC_000000{i}.jpg" for i in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "folders",
    [
        ["HAM10000_images"],
        ["HAM10000_images_part_1", "HAM10000_images_part_2"],
        ["ham10000_images_part_1", "ham10000_images_part_2"],
        ["images"],
        ["deep/er"],
        ["."],
    ],
)
def test_ham10000_is_found_in_each_of_its_usual_folders(tmp_path, folders):
    write_csv(tmp_path / "HAM10000_metadata.csv", HAM)
    for index, name in enumerate(HAM_FILES):
        write_images(tmp_path / folders[index % len(folders)], name)
    records = read_records(tmp_path)
    assert records.layout == "ham10000"
    assert by_id(records) == {
        "ISIC_0000001": ("nv", "HAM_0000001"),
        "ISIC_0000002": ("nv", "HAM_0000001"),
        "ISIC_0000003": ("akiec", "HAM_0000002"),
        "ISIC_0000004": ("mel", "HAM_0000003"),
    }
    assert records.classes == ("akiec", "mel", "nv")
    assert records.labels.dtype == np.int64
    assert records.attributes["dataset"] == ("rosendahl", "rosendahl", "vidir_modern", "vidir_modern")
    assert records.problems == ()
    assert all(path.is_file() for path in records.paths)


def test_dataverse_metadata_without_suffix_and_tab_separated(tmp_path):
    (tmp_path / "HAM10000_metadata").write_text(
        '"lesion_id"\t"image_id"\t"dx"\n"HAM_1"\t"ISIC_0000001"\t"bcc"\n', encoding="utf-8"
    )
    write_images(tmp_path, "ISIC_0000001.jpg")
    assert by_id(read_records(tmp_path)) == {"ISIC_0000001": ("bcc", "HAM_1")}


def test_images_that_kaggle_ships_twice_are_taken_once(tmp_path):
    write_csv(tmp_path / "HAM10000_metadata.csv", HAM)
    write_images(tmp_path / "HAM10000_images_part_1", *HAM_FILES)
    write_images(tmp_path / "ham10000_images_part_1", *HAM_FILES)
    records = read_records(tmp_path)
    assert len(records) == 4
    assert records.problems == ()


def test_isic2018_one_hot_with_lesion_groupings_in_unpacked_folders(tmp_path):
    write_csv(
        tmp_path / "ISIC2018_Task3_Training_GroundTruth" / "ISIC2018_Task3_Training_GroundTruth.csv",
        """image,MEL,NV,BCC,AKIEC,BKL,DF,VASC
        ISIC_0000001,0.0,1.0,0.0,0.0,0.0,0.0,0.0
        ISIC_0000002,0.0,0.0,0.0,1.0,0.0,0.0,0.0
        ISIC_0000003,1.0,0.0,0.0,0.0,0.0,0.0,0.0
        ISIC_0000004,0.0,0.0,0.0,0.0,0.0,0.0,0.0""",
    )
    write_csv(
        tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv",
        """image,lesion_id,diagnosis_confirm_type
        ISIC_0000001,HAM_1,serial imaging showing no change
        ISIC_0000002,HAM_2,histopathology
        ISIC_0000003,HAM_2,histopathology""",
    )
    write_images(tmp_path / "ISIC2018_Task3_Training_Input", *HAM_FILES)
    records = read_records(tmp_path)
    assert records.layout == "isic 2018"
    assert by_id(records) == {
        "ISIC_0000001": ("nv", "HAM_1"),
        "ISIC_0000002": ("akiec", "HAM_2"),
        "ISIC_0000003": ("mel", "HAM_2"),
        "ISIC_0000004": (None, "image:ISIC_0000004"),
    }
    assert records.attributes["diagnosis_confirm_type"][1] == "histopathology"


def test_isic2018_without_groupings_says_so(tmp_path):
    write_csv(
        tmp_path / "ISIC2018_Task3_Training_GroundTruth.csv",
        "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_0000001,1.0,0.0,0.0,0.0,0.0,0.0,0.0",
    )
    write_images(tmp_path, "ISIC_0000001.jpg")
    records = read_records(tmp_path)
    assert records.groups is None
    assert "every image is its own group" in records.problems[0].reason


def test_training_truth_is_read_and_test_truth_only_when_named(tmp_path):
    header = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
    write_csv(tmp_path / "ISIC2018_Task3_Training_GroundTruth.csv", header + "ISIC_0000001,1.0,0,0,0,0,0,0")
    write_csv(tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv", header + "ISIC_0000002,0,1.0,0,0,0,0,0")
    write_images(tmp_path, "ISIC_0000001.jpg", "ISIC_0000002.jpg")
    records = read_records(tmp_path)
    assert records.ids == ("ISIC_0000001",)
    assert any("ISIC2018_Task3_Test_GroundTruth.csv" in problem.path for problem in records.problems)
    assert read_records(tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv").ids == ("ISIC_0000002",)


def test_isic2019_with_its_further_classes_and_blank_lesions(tmp_path):
    write_csv(
        tmp_path / "ISIC_2019_Training_GroundTruth.csv",
        """image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK
        ISIC_0000001,0.0,0.0,0.0,1.0,0.0,0.0,0.0,0.0,0.0
        ISIC_0000002_downsampled,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,0.0
        ISIC_0000003,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0""",
    )
    write_csv(
        tmp_path / "ISIC_2019_Training_Metadata.csv",
        """image,age_approx,anatom_site_general,lesion_id,sex
        ISIC_0000001,55,anterior torso,BCN_0000001,female
        ISIC_0000002_downsampled,30,anterior torso,,female
        ISIC_0000003,30,anterior torso,BCN_0000001,female""",
    )
    write_images(
        tmp_path / "ISIC_2019_Training_Input", "ISIC_0000001.jpg", "ISIC_0000002_downsampled.jpg", "ISIC_0000003.jpg"
    )
    records = read_records(tmp_path)
    assert records.layout == "isic 2019"
    assert by_id(records) == {
        "ISIC_0000001": ("akiec", "BCN_0000001"),
        "ISIC_0000002_downsampled": ("scc", "image:ISIC_0000002_downsampled"),
        "ISIC_0000003": ("unk", "BCN_0000001"),
    }


ONE_HOT_2019 = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"


def test_isic2019_with_the_lesions_of_2018_beside_it(tmp_path):
    marked = ",1.0,0,0,0,0,0,0,0,0\n"
    images = ["HAM_A", "HAM_B", "BCN_A", "BCN_B", "MSK_A"]
    write_csv(tmp_path / "ISIC_2019_Training_GroundTruth.csv", ONE_HOT_2019 + "".join(name + marked for name in images))
    write_csv(
        tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv",
        "image,lesion_id,diagnosis_confirm_type\nHAM_A,L1,histopathology\nHAM_B,L1,histopathology",
    )
    write_csv(
        tmp_path / "ISIC_2019_Training_Metadata.csv",
        """image,age_approx,anatom_site_general,lesion_id,sex
        HAM_A,50,torso,,male
        BCN_A,50,torso,L2,male
        BCN_B,50,torso,L2,male""",
    )
    write_images(tmp_path, *(f"{name}.jpg" for name in images))
    records = read_records(tmp_path)
    assert records.ids == tuple(images)
    assert records.groups == ("L1", "L1", "L2", "L2", "image:MSK_A")
    assert records.attributes["sex"] == ("male", "", "male", "male", "")
    assert records.attributes["diagnosis_confirm_type"] == ("histopathology", "histopathology", "", "", "")
    [problem] = records.problems
    assert problem.path == "ISIC_2019_Training_GroundTruth.csv"
    assert problem.reason == (
        "1 of 5 images are in no table of lesions (ISIC_2019_Training_Metadata.csv, "
        "ISIC2018_Task3_Training_LesionGroupings.csv): each of them is its own group"
    )


@pytest.mark.parametrize("lesions", [True, False])
def test_isic2020_groups_by_patient_with_and_without_lesions(tmp_path, lesions):
    lesion = (lambda name: f"{name},") if lesions else (lambda name: "")
    columns = "sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
    write_csv(
        tmp_path / "train.csv",
        f"""image_name,patient_id,{lesion("lesion_id")}{columns}
        ISIC_0000001,IP_1,{lesion("IL_1")}male,45,head/neck,unknown,benign,0
        ISIC_0000002,IP_1,{lesion("IL_2")}male,45,torso,nevus,benign,0
        ISIC_0000003,IP_2,{lesion("IL_3")}female,50,torso,melanoma,malignant,1
        ISIC_0000004,IP_2,{lesion("IL_3")}female,50,torso,seborrheic keratosis,benign,0""",
    )
    write_images(tmp_path / "jpeg" / "train", *HAM_FILES)
    records = read_records(tmp_path)
    assert records.layout == "isic 2020"
    assert by_id(records) == {
        "ISIC_0000001": (None, "IP_1"),
        "ISIC_0000002": ("nv", "IP_1"),
        "ISIC_0000003": ("mel", "IP_2"),
        "ISIC_0000004": ("bkl", "IP_2"),
    }
    assert records.attributes["benign_malignant"] == ("benign", "benign", "malignant", "benign")


def test_isic_cli_metadata_joins_lesions_and_patients(tmp_path):
    write_csv(
        tmp_path / "metadata.csv",
        """isic_id,attribution,copyright_license,diagnosis_1,diagnosis_2,diagnosis_3,image_type,lesion_id,patient_id
        ISIC_0000001,A,CC-0,Benign,Benign melanocytic proliferations,Nevus,dermoscopic,IL_1,
        ISIC_0000002,A,CC-0,Malignant,Malignant epidermal proliferations,"Melanoma, NOS",dermoscopic,IL_1,IP_1
        ISIC_0000003,A,CC-0,Benign,Benign soft tissue proliferations - Vascular,,dermoscopic,IL_2,IP_1
        ISIC_0000004,A,CC-0,Benign,Benign epidermal proliferations,Porokeratosis,clinical: close-up,,""",
    )
    write_images(tmp_path, *HAM_FILES)
    records = read_records(tmp_path)
    assert records.layout == "isic-cli"
    assert by_id(records) == {
        "ISIC_0000001": ("nv", "IP_1"),  # its own row names no patient, but its lesion's other image does
        "ISIC_0000002": ("mel", "IP_1"),
        "ISIC_0000003": ("vasc", "IP_1"),
        "ISIC_0000004": (None, "image:ISIC_0000004"),
    }
    reasons = " ".join(problem.reason for problem in records.problems)
    assert "1 rows have a diagnosis outside the known classes" in reasons
    assert "1 rows are not dermoscopic" in reasons


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Melanoma in situ", "mel"),
        ("Lentigo maligna", "mel"),
        ("Solar or actinic keratosis", "akiec"),
        ("Squamous cell carcinoma in situ, Bowens disease", "akiec"),
        ("Squamous cell carcinoma, NOS", "scc"),
        ("Lichen planus like keratosis", "bkl"),
        ("lichenoid keratosis", "bkl"),
        ("Pigmented benign keratosis", "bkl"),
        ("Solar lentigo", "bkl"),
        ("Dermatofibroma", "df"),
        ("Dermatofibrosarcoma protuberans", None),
        ("Blue nevus", "nv"),
        ("Nevus, Spitz", "nv"),
        ("Nevus sebaceous", None),
        ("Hemangioma, Hobnail", "vasc"),
        ("Angiofibroma or fibrous papule", None),
        ("Malignant soft tissue proliferations - Vascular", None),
        ("atypical melanocytic proliferation", None),
        ("NV", "nv"),
    ],
)
def test_diagnoses_in_words(text, name):
    assert class_of_diagnosis(text) == name


def test_csv_with_groups_unknown_labels_and_bare_names(tmp_path):
    write_csv(
        tmp_path / "set.csv",
        """image,label,group,framing
        a/one.jpg,nv,L1,original
        two,mel,L2,squashed
        ./three.png,,L2,original
        four.jpg,unknown,,original""",
    )
    write_images(tmp_path, "a/one.jpg", "b/two.jpg", "three.png", "four.jpg")
    for data in (tmp_path, tmp_path / "set.csv"):
        records = read_records(data)
        assert records.layout == "csv"
        assert by_id(records) == {
            "a/one.jpg": ("nv", "L1"),
            "two": ("mel", "L2"),
            "three.png": (None, "L2"),
            "four.jpg": (None, "image:four.jpg"),
        }
        assert records.attributes == {"framing": ("original", "squashed", "original", "original")}


@pytest.mark.parametrize("name", ["group", "lesion_id", "lesion", "patient_id"])
@pytest.mark.parametrize("extra", ["", ",age_approx"])
def test_each_column_of_a_csv_that_groups(tmp_path, name, extra):
    write_images(tmp_path, "x/a.jpg", "x/b.jpg", "y/c.jpg")  # folders that would do as classes
    header, more = f"image,label,{name}{extra}\n", ",50" if extra else ""
    rows = f"x/a.jpg,mel,L1{more}\nx/b.jpg,nv,L2{more}\ny/c.jpg,nv,L1{more}\n"
    write_csv(tmp_path / "set.csv", header + rows)
    for data in (tmp_path, tmp_path / "set.csv"):
        records = read_records(data)
        assert records.layout == "csv"
        assert by_id(records) == {"x/a.jpg": ("mel", "L1"), "x/b.jpg": ("nv", "L2"), "y/c.jpg": ("nv", "L1")}
        assert records.problems == ()


@pytest.mark.parametrize("name", ["group", "lesion_id", "lesion"])
def test_a_csv_with_lesions_and_patients_joins_them(tmp_path, name):
    write_images(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    write_csv(
        tmp_path / "set.csv",
        f"""image,label,{name},patient_id
        a.jpg,x,1,P1
        b.jpg,y,2,P1
        c.jpg,x,2,
        d.jpg,y,3,
        e.jpg,y,,3""",
    )
    records = read_records(tmp_path)
    # patient 3 is not lesion 3
    assert by_id(records) == {
        "a.jpg": ("x", "P1"),
        "b.jpg": ("y", "P1"),
        "c.jpg": ("x", "P1"),
        "d.jpg": ("y", "lesion:3"),
        "e.jpg": ("y", "3"),
    }
    assert records.attributes == {}


def test_the_unnamed_column_that_pandas_writes_is_no_group(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    write_csv(tmp_path / "set.csv", ",image,label\n0,a.jpg,x\n1,b.jpg,y")
    assert by_id(read_records(tmp_path)) == {"a.jpg": ("x", None), "b.jpg": ("y", None)}


def test_a_table_of_lesions_without_labels_groups_class_folders(tmp_path):
    write_images(tmp_path, "mel/a.jpg", "nv/b.jpg")
    write_csv(tmp_path / "lesions.csv", "image,lesion_id\na,L1\nb,L1")
    write_csv(tmp_path / "ages.csv", "image,age_approx\na,50\nb,50")
    write_csv(tmp_path / "results.csv", "epoch,loss\n1,2.0")
    records = read_records(tmp_path)
    assert (records.layout, records.groups, records.problems) == ("class folders", ("L1", "L1"), ())
    assert records.attributes == {"age_approx": ("50", "50")}
    named = read_records(tmp_path / "lesions.csv")
    assert (named.layout, named.classes, named.groups) == ("csv", (), ("L1", "L1"))
    assert read_records(tmp_path / "ages.csv").attributes == {"age_approx": ("50", "50")}


def test_a_table_of_lesions_without_labels_is_named_where_there_are_no_labels(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    write_csv(tmp_path / "lesions.csv", "image,lesion_id\na,L1\nb,L1")
    assert [problem.path for problem in read_records(tmp_path).problems] == ["lesions.csv"]
    reason = "not read: no column 'label', so its lesions are not used"
    assert read_records(tmp_path).problems[0].reason.startswith(reason)


def test_csvs_one_level_below_are_named_where_no_table_was_read(tmp_path):
    write_images(tmp_path, "images/a.jpg", "images/b.jpg")
    write_csv(tmp_path / "tables" / "set.csv", "image,label\na,x\nb,y")
    assert read_records(tmp_path).class_counts() == {"x": 1, "y": 1}  # the only one, and it names the images
    write_csv(tmp_path / "tables" / "other.csv", "image,label\na,z\nb,z")
    records = read_records(tmp_path)
    assert records.layout == "image folder"
    reason = "not read: several CSVs lie below the folder: put the one you mean into it"
    assert {problem.path: problem.reason for problem in records.problems} == {
        f"tables/{name}.csv": reason for name in ("set", "other")
    }
    write_csv(tmp_path / "set.csv", "image,label\na,x\nb,y")
    assert read_records(tmp_path).problems == ()


def test_tables_of_another_layout_are_named_but_not_what_was_read_with_the_truth(tmp_path):
    write_csv(tmp_path / "ISIC_2019_Training_GroundTruth.csv", ONE_HOT_2019 + "ISIC_0000001,1.0,0,0,0,0,0,0,0,0")
    write_csv(tmp_path / "mine.csv", "image,label\nISIC_0000001,x")
    write_csv(tmp_path / "lesions.csv", "image,label,lesion_id\nISIC_0000001,x,L1")
    write_images(tmp_path, "ISIC_0000001.jpg")
    records = read_records(tmp_path)
    assert by_id(records) == {"ISIC_0000001": ("mel", "L1")}
    assert [problem.path for problem in records.problems] == ["mine.csv"]
    assert records.problems[0].reason.startswith("not read: ISIC_2019_Training_GroundTruth.csv was")


def test_a_path_in_a_csv_is_that_file_or_none(tmp_path):
    write_images(tmp_path, "benign/1.png", "malignant/2.png")
    write_csv(tmp_path / "set.csv", "image,label\nbenign/1.png,b\nmalignant/1.png,m\nmalignant/2.png,m\n./2.png,m")
    records = read_records(tmp_path)
    assert by_id(records) == {"benign/1.png": ("b", None), "malignant/2.png": ("m", None), "2.png": ("m", None)}
    assert [(problem.path, problem.reason) for problem in records.problems] == [
        ("malignant/1.png", "named in set.csv, but there is no such file")
    ]


def test_a_bare_name_that_several_files_have_is_a_problem(tmp_path):
    write_images(tmp_path, "a/1.png", "b/1.png", "a/2.png", "b/2.jpg", "a/3.png", "b/4.png", "A/4.png")
    write_csv(tmp_path / "set.csv", "image,label\n1.png,x\n1,y\n2.png,x\n2,y\n3,x\n4,y")
    records = read_records(tmp_path)
    assert {
        key: path.relative_to(tmp_path).as_posix() for key, path in zip(records.ids, records.paths, strict=True)
    } == {
        "2.png": "a/2.png",
        "3": "a/3.png",
    }
    assert {problem.path: problem.reason for problem in records.problems} == {
        "1.png": "named in set.csv, but 2 files have this name (a/1.png, b/1.png): write the path",
        "1": "named in set.csv, but 2 files have this name (a/1.png, b/1.png): write the path",
        "2": "named in set.csv, but 2 files have this name (a/2.png, b/2.jpg): write the path",
        "4": "named in set.csv, but 2 files have this name (A/4.png, b/4.png): write the path",
    }


def test_bare_names_in_kaggles_copy_are_found_once(tmp_path):
    write_images(tmp_path, "HAM10000_images_part_1/a.jpg")
    (tmp_path / "ham10000_images_part_1").mkdir()
    copy = tmp_path / "ham10000_images_part_1" / "a.jpg"
    copy.write_bytes((tmp_path / "HAM10000_images_part_1" / "a.jpg").read_bytes())
    write_csv(tmp_path / "set.csv", "image,label\na,x")
    records = read_records(tmp_path)
    assert records.paths == (tmp_path / "HAM10000_images_part_1" / "a.jpg",)
    assert records.problems == ()


def test_a_csv_cannot_reach_outside_its_folder(tmp_path):
    write_images(tmp_path, "secret.jpg", "data/a.jpg", "data/b.jpg")
    write_csv(
        tmp_path / "data" / "set.csv",
        f"""image,label
        a.jpg,x
        {tmp_path / "data" / "b.jpg"},y
        ../secret.jpg,x
        sub/../../secret.jpg,x
        {tmp_path / "secret.jpg"},x
        C:\\secret.jpg,x""",
    )
    records = read_records(tmp_path / "data")
    assert records.ids == ("a.jpg", "b.jpg")
    assert len(records.problems) == 4
    assert all("outside" in problem.reason for problem in records.problems)


def test_missing_files_extra_files_and_repeated_rows_are_counted(tmp_path):
    write_csv(tmp_path / "HAM10000_metadata.csv", HAM + "\nHAM_0000003,ISIC_0000004,nv,histo,60.0,female,face,x")
    write_images(tmp_path / "images", "ISIC_0000001.jpg", "ISIC_0000003.jpg", "ISIC_0000004.jpg", "holiday.jpg")
    write_images(tmp_path / "masks", "ISIC_0000001_segmentation.png")
    records = read_records(tmp_path)
    assert records.ids == ("ISIC_0000001", "ISIC_0000003", "ISIC_0000004")
    assert by_id(records)["ISIC_0000004"][0] == "mel"
    reasons = {problem.path: problem.reason for problem in records.problems}
    assert reasons == {
        "ISIC_0000002": "named in HAM10000_metadata.csv, but there is no such file",
        "images/holiday.jpg": "not in any row of HAM10000_metadata.csv: left out",
        "ISIC_0000004": "a second row with another label: the first is used",
    }


def test_a_folder_per_class(tmp_path):
    write_images(tmp_path, "NV/a.jpg", "NV/b.jpg", "MEL/c.png", "AK/d.JPG")
    records = read_records(tmp_path)
    assert records.layout == "class folders"
    assert records.classes == ("akiec", "mel", "nv")
    assert records.class_counts() == {"akiec": 1, "mel": 1, "nv": 2}


def test_class_names_of_its_own_stay_as_they_are(tmp_path):
    write_images(tmp_path, "NV/a.jpg", "Blue Thing/b.jpg")
    assert read_records(tmp_path).classes == ("Blue Thing", "NV")


@pytest.mark.parametrize(
    "names",
    [
        ["x.jpg", "nv/a.jpg", "mel/b.jpg"],
        ["HAM10000_images_part_1/a.jpg", "HAM10000_images_part_2/b.jpg"],
        ["train/a.jpg", "test/b.jpg"],
        ["0001/a.jpg", "0002/b.jpg"],
        ["only/a.jpg", "only/b.jpg"],
    ],
)
def test_other_nestings_are_unlabelled_images(tmp_path, names):
    write_images(tmp_path, *names)
    records = read_records(tmp_path)
    assert records.layout == "image folder"
    assert records.ids == tuple(sorted(names))
    assert (records.labels == -1).all()
    assert records.classes == ()
    assert records.groups is None


def test_hidden_files_masks_and_links_in_circles_are_left_out(tmp_path):
    write_images(tmp_path, "a.jpg", ".hidden/b.jpg", "__MACOSX/c.jpg", "._d.jpg", "a_segmentation.png")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "notes.txt").write_text("not an image")
    records = read_records(tmp_path)
    assert records.ids == ("a.jpg",)
    assert [problem.reason for problem in records.problems] == ["a mask, not a photograph"]


def test_a_linked_folder_is_followed(tmp_path):
    write_images(tmp_path / "elsewhere", "a.jpg")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert read_records(tmp_path / "data").ids == ("linked/a.jpg",)


@pytest.fixture
def latin1(tmp_path):
    """Rename a file or folder as an archive from a Latin-1 system does: the last letter becomes the byte 0xe9."""

    def rename(path: Path) -> Path:
        target = os.fsencode(path.with_suffix(""))[:-1] + b"\xe9" + os.fsencode(path.suffix)
        try:
            os.rename(path, target)
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        return Path(os.fsdecode(target))

    return rename


LATIN1_LAYOUTS = {
    "image folder": None,
    "class folders": None,
    "csv": ("set.csv", "image,label\nbx.png,m\ncx.png,n\nmissing,n"),
    "ham10000": ("HAM10000_metadata.csv", "lesion_id,image_id,dx\nL1,bx,mel\nL2,cx,nv"),
    "isic 2018": ("t.csv", "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nbx,1,0,0,0,0,0,0\ncx,0,1,0,0,0,0,0"),
    "isic 2020": ("train.csv", "image_name,patient_id\nbx,P1\ncx,P2"),
    "isic-cli": ("metadata.csv", "isic_id\nbx\ncx"),
}


@pytest.mark.parametrize("layout", LATIN1_LAYOUTS)
def test_names_that_are_not_utf8_are_problems_in_every_layout(tmp_path, latin1, layout, capsys):
    folders = ("mel/", "nv/") if layout == "class folders" else ("", "")
    write_images(tmp_path / "set", f"{folders[0]}bx.png", f"{folders[1]}cx.png", f"{folders[0]}cafe.png", "deepe/d.png")
    latin1(tmp_path / "set" / f"{folders[0]}cafe.png")
    latin1(tmp_path / "set" / "deepe")
    (tmp_path / "set" / "notee.csv").write_text("image,label\nbx.png,mel\n")
    latin1(tmp_path / "set" / "notee.csv")
    if table := LATIN1_LAYOUTS[layout]:
        write_csv(tmp_path / "set" / table[0], table[1])
    logger, handler = logging.getLogger("dermssl"), logging.FileHandler(tmp_path / "log", encoding="utf-8")
    logger.addHandler(handler)
    try:
        cache = prepare(tmp_path / "set", tmp_path / "out", size=8, progress=False)
    finally:
        logger.removeHandler(handler)
    assert cache.records.layout == layout
    assert [path.name for path in cache.records.paths] == ["bx.png", "cx.png"]
    reasons = {problem.path: problem.reason for problem in cache.problems}
    assert reasons[f"{folders[0]}caf\\xe9.png"] == "the name is not UTF-8; rename it"
    assert reasons["deep\\xe9"] == "the name is not UTF-8; rename it (everything in this folder is left out)"
    assert reasons["note\\xe9.csv"] == "not read: the name is not UTF-8; rename it"
    assert "Traceback" not in capsys.readouterr().err


def test_data_or_output_whose_own_name_is_not_utf8_is_an_error(tmp_path, latin1):
    write_images(tmp_path / "sete", "a.png")
    write_csv(tmp_path / "sete" / "tabe.csv", "image\na.png")
    table = latin1(tmp_path / "sete" / "tabe.csv")
    with pytest.raises(DermsslError, match=r"tab\\xe9.csv: the name is not UTF-8; rename it"):
        read_records(table)
    folder = latin1(tmp_path / "sete")
    for read in (read_records, lambda data: prepare(data, tmp_path / "out"), lambda data: cached(data, size=8)):
        with pytest.raises(DermsslError, match=r"set\\xe9: the name is not UTF-8; rename it"):
            read(folder)
    write_images(tmp_path / "set", "a.png")
    with pytest.raises(DermsslError, match=r"set\\xe9/out: the name is not UTF-8; rename it"):
        prepare(tmp_path / "set", folder / "out")


def test_only_names_that_are_not_utf8_is_an_error_that_says_so(tmp_path, latin1):
    write_images(tmp_path, "cafe.png")
    latin1(tmp_path / "cafe.png")
    with pytest.raises(DermsslError, match=r"no images in .*caf\\xe9.png: the name is not UTF-8; rename it"):
        read_records(tmp_path)


def test_select_and_labelled_keep_columns_together(tmp_path):
    write_csv(tmp_path / "set.csv", "image,label,group,site\na.jpg,x,1,leg\nb.jpg,,2,arm\nc.jpg,y,2,head")
    write_images(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    records = read_records(tmp_path)
    known = records.labelled()
    assert known.ids == ("a.jpg", "c.jpg")
    assert known.groups == ("1", "2")
    assert known.attributes == {"site": ("leg", "head")}
    assert records.select([2, 0]).labels.tolist() == [1, 0]


def test_nothing_there(tmp_path):
    with pytest.raises(DermsslError, match=r"nowhere does not exist"):
        read_records(tmp_path / "nowhere")
    with pytest.raises(DermsslError, match=r"is empty; looked for.*HAM10000_metadata.csv"):
        read_records(tmp_path)
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(DermsslError, match=r"no images in .*looked for"):
        read_records(tmp_path)
    with pytest.raises(DermsslError, match="not a folder, table or archive"):
        read_records(tmp_path / "readme.txt")


def test_a_table_without_any_of_its_images(tmp_path):
    write_csv(tmp_path / "HAM10000_metadata.csv", HAM)
    with pytest.raises(DermsslError, match=r"no images in .*4 problems, first: ISIC_0000001: named in"):
        read_records(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("HAM10000_metadata.csv", "lesion_id,image_id\nHAM_1,ISIC_1", r"HAM10000_metadata.csv: no column 'dx'"),
        ("set.csv", "picture,label\na.jpg,x", r"set.csv: no column 'image'.*it has picture, label"),
        ("set.csv", "", r"set.csv is empty"),
        ("set.csv", "image,label,label\na.jpg,x,y", r"'label' appears twice"),
        ("t.csv", "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\na,yes,0,0,0,0,0,0", r"column 'MEL' holds 'yes'"),
    ],
)
def test_wrong_columns_are_named(tmp_path, name, text, message):
    write_images(tmp_path, "a.jpg")
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DermsslError, match=message):
        read_records(tmp_path / name)


def test_a_binary_table_is_an_error(tmp_path):
    (tmp_path / "set.csv").write_bytes(b"\xff\xfe\x00\x01" * 10)
    with pytest.raises(DermsslError, match=r"set.csv is empty or is not a text table"):
        read_records(tmp_path / "set.csv")


def test_byte_order_mark_and_semicolons_are_understood(tmp_path):
    (tmp_path / "set.csv").write_text("\ufeffimage;label\na.jpg;x\n", encoding="utf-8")
    write_images(tmp_path, "a.jpg")
    assert by_id(read_records(tmp_path)) == {"a.jpg": ("x", None)}


@pytest.mark.slow
@pytest.mark.real_data
def test_the_whole_table_of_ham10000(real_data, tmp_path):
    with open(real_data / "HAM10000_metadata_full.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        os.close(os.open(tmp_path / f"{row['image_id']}.jpg", os.O_CREAT))
    (tmp_path / "HAM10000_metadata.csv").write_bytes((real_data / "HAM10000_metadata_full.csv").read_bytes())
    records = read_records(tmp_path)
    assert records.class_counts() == {
        "akiec": 327,
        "bcc": 514,
        "bkl": 1099,
        "df": 115,
        "mel": 1113,
        "nv": 6705,
        "vasc": 142,
    }
    assert records.groups is not None
    assert len(set(records.groups)) == 7470 - 18  # the known pairs under two lesion ids are joined
    assert set(records.attributes["dataset"]) == {"vidir_molemax", "vidir_modern", "rosendahl", "vienna_dias"}
    assert [problem.path for problem in records.problems] == ["groups"]
    assert "18 pairs of images show one lesion under two ids: 18 groups fewer" in records.problems[0].reason
    assert records.joined == (records.problems[0].reason,)
