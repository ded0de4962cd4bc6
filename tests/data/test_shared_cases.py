"""Small data sets as people have them, in ../shared/cases: each read as its expected.json says, or named plainly."""

import json
import os
from pathlib import Path

import pytest

from dermssl.data.read import read_records
from dermssl.errors import DermsslError

NAMES = (
    "bcn20000", "class_folders_named_images", "class_folders_same_class_twice", "class_folders_stray_picture",
    "csv_binary_nan_class", "csv_capitals", "csv_excel_trailing_commas", "csv_lesion_numbers_restart", "csv_utf16",
    "ddi", "fitzpatrick17k", "folders_per_patient", "ham_own_train_and_val_tables", "images_and_masks", "isic2016",
    "isic2018_masks_same_name", "isic2018_task3", "isic2024_jpg", "isic_cli_not_a_nevus", "pad_ufes_as_csv", "ph2",
    "train_val_test_class_folders",
)  # fmt: skip


def case(name: str) -> Path:
    given = os.environ.get("DERMSSL_DATA")
    for folder in (Path(given).parent if given else None, Path(__file__).parents[2].parent / "shared"):
        if folder and (folder / "cases" / name).is_dir():
            return folder / "cases" / name
    pytest.skip("the data sets as people have them are not at ../shared/cases")


@pytest.mark.real_data
@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_as_expected(name):
    expected = json.loads((case(name) / "expected.json").read_text())
    records = read_records(case(name) / "data")
    assert len(records) == expected["images"]
    assert all(path.is_file() for path in records.paths)
    if expected.get("classes") is not None:
        counts = {key.casefold(): count for key, count in expected["classes"].items()}
        assert {key.casefold(): count for key, count in records.class_counts().items()} == counts
    if "groups" in expected:
        assert records.groups is not None
        assert len(set(records.groups)) == expected["groups"]


@pytest.mark.real_data
def test_masks_with_the_names_of_photographs_are_not_taken():
    records = read_records(case("isic2018_masks_same_name") / "data")
    assert not any("mask" in str(path.parent.name).lower() for path in records.paths)


@pytest.mark.real_data
def test_derm7pt_gives_its_dermoscopic_pictures_and_its_split():
    records = read_records(case("derm7pt") / "data")
    assert len(records) == 12
    assert {part: records.attributes["split"].count(part) for part in ("train", "val", "test")} == {
        "train": 6,
        "val": 3,
        "test": 3,
    }
    assert any("12 pictures that are not in its column derm" in problem.reason for problem in records.problems)


@pytest.mark.real_data
def test_folders_of_parts_are_a_split():
    records = read_records(case("train_val_test_class_folders") / "data")
    assert {part: records.attributes["split"].count(part) for part in ("train", "val", "test")} == {
        "train": 12,
        "val": 6,
        "test": 6,
    }


@pytest.mark.real_data
def test_the_test_truth_of_isic2018_finds_its_images():
    records = read_records(case("isic2018_task3") / "data" / "ISIC2018_Task3_Test_GroundTruth")
    assert records.layout == "isic 2018"
    assert len(records) > 0
    assert all(path.parent.name == "ISIC2018_Task3_Test_Input" for path in records.paths)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["isic2020_tfrec_only", "tfds"])
def test_what_cannot_be_read_is_named_with_the_file(name):
    """The TFRecords of these cases are cut short: a file of one byte each."""
    with pytest.raises(DermsslError, match=r"tfrec.* is damaged or not what its name says: cut short"):
        read_records(case(name) / "data")


@pytest.mark.real_data
def test_files_of_other_kinds_are_named_beside_the_images():
    records = read_records(case("heic_dicom_avif_beside_jpg") / "data")
    assert len(records) >= 20  # 27 with the plugins for HEIC and DICOM
    named = {problem.path for problem in records.problems}
    assert {"MEL/IMD003", "MEL/x.jpg.download"} <= named
