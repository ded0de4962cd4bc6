"""Records: every layout in its real column names, and what is wrong with a data folder."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermssl.data.layouts.classes import class_of_diagnosis
from dermssl.data.records import read_records
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
        "images/holiday.jpg": "in no row of HAM10000_metadata.csv: left out",
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
        ["train/nv/a.jpg", "train/mel/b.jpg"],
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
    with pytest.raises(DermsslError, match="unpack"):
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
    assert len(set(records.groups)) == 7470
    assert set(records.attributes["dataset"]) == {"vidir_molemax", "vidir_modern", "rosendahl", "vienna_dias"}
    assert records.problems == ()
