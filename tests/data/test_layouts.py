"""Layouts: classes, groups, parts and masks of folders; known pairs; the Archive's diagnoses; a layout is one file."""

import csv
import unicodedata
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from dermssl.data.joining import ham10000_pairs, join_groups
from dermssl.data.known import KNOWN
from dermssl.data.layouts import registry
from dermssl.data.layouts.classes import class_of_diagnosis
from dermssl.data.layouts.diagnoses import class_of_levels, decided
from dermssl.data.layouts.found import Files
from dermssl.data.layouts.layout import DataSet, Layout, Line, match
from dermssl.data.layouts.table import Table
from dermssl.data.read import read_records
from dermssl.data.records import Kind
from dermssl.errors import DermsslError


def draw(folder: Path, *names: str) -> None:
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (index * 7 % 255, index // 36, 60)).save(path)


def labels_of(records) -> dict[str, str | None]:
    return {
        name: records.classes[label] if label >= 0 else None
        for name, label in zip(records.ids, records.labels, strict=True)
    }


def reasons(records) -> str:
    return " | ".join(f"{problem.path}: {problem.reason}" for problem in records.problems)


# --- the Archive's diagnoses


def test_every_entry_of_the_shipped_table_is_decided_with_a_reason():
    text = (resources.files("dermssl.data.layouts") / "isic_diagnoses.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == len(decided()) == 418
    for row in rows:
        assert row["class"] in {"akiec", "bcc", "bkl", "df", "mel", "nv", "scc", "vasc", "unknown"}, row
        assert bool(row["reason"]) == (row["class"] == "unknown"), row
        levels = [row[f"diagnosis_{n}"] for n in range(1, 6) if row[f"diagnosis_{n}"]]
        assert class_of_levels(levels) == (None if row["class"] == "unknown" else row["class"])
        if row["class"] == "nv":
            assert "Benign melanocytic proliferations" in levels
        if row["class"] == "mel":
            assert "Malignant melanocytic proliferations (Melanoma)" in levels


@pytest.mark.real_data
def test_the_shipped_table_has_the_archives_entries(real_data):
    with open(real_data / "isic_diagnoses.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert tuple(text.lower() for text in row.values() if text) in decided()


@pytest.mark.parametrize(
    ("levels", "name"),
    [
        (("Benign", "Benign melanocytic proliferations", "Nevus", "Nevus, Of the moon"), "nv"),
        (("Benign", "Flat melanotic pigmentations - not melanocytic nevus", "Some new nevus-like spot"), None),
        (("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma, new"), "mel"),
        (("Benign", "Benign soft tissue proliferations - Vascular", "A new angioma"), "vasc"),
        (("Of another", "hierarchy"), None),
    ],
)
def test_names_outside_the_table_follow_their_nearest_ancestor(levels, name):
    assert class_of_levels(levels) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Nevus sebaceus", None),
        ("nevus comedonicus", None),
        ("not a melanoma", None),
        ("non-melanoma", None),
        ("clark nevus", "nv"),
        ("melanoma (in situ)", "mel"),
        ("lentigo NOS", "bkl"),
    ],
)
def test_words_that_only_sound_like_a_class(text, name):
    assert class_of_diagnosis(text) == name


# --- folders


@pytest.mark.parametrize("shape", ["P{:03}", "patient_{}", "lesion-{}", "IMD{:03}", "scan{}", "IL_{:07}"])
def test_a_folder_per_person_is_no_class(tmp_path, shape):
    draw(tmp_path, *(f"{shape.format(i)}/{j}.jpg" for i in range(6) for j in range(3)))
    records = read_records(tmp_path)
    assert (records.layout, records.classes, len(records)) == ("image folder", (), 18)
    assert "named like patients, lesions or scans" in reasons(records)


@pytest.mark.parametrize("names", [("0", "1"), ("class1", "class2"), ("grade_1", "grade_2"), ("A", "B")])
def test_numbered_classes_stay_classes(tmp_path, names):
    draw(tmp_path, *(f"{name}/{i}.jpg" for name in names for i in range(3)))
    assert read_records(tmp_path).classes == tuple(sorted(names))


@pytest.mark.parametrize("parts", [("train", "val", "test"), ("training", "valid", "testing"), ("Train", "validation")])
def test_classes_inside_parts_are_a_split(tmp_path, parts):
    draw(tmp_path, *(f"data/{part}/{name}/{i}.jpg" for part in parts for name in ("NV", "MEL") for i in range(2)))
    records = read_records(tmp_path)
    assert records.classes == ("mel", "nv")
    assert set(records.attributes["split"]) == {"train", "val", "test"} if len(parts) == 3 else {"train", "val"}


def test_classes_inside_a_lone_training_folder_are_read(tmp_path):
    draw(tmp_path, "train/nv/a.jpg", "train/mel/b.jpg")
    records = read_records(tmp_path)
    assert labels_of(records) == {"train/mel/b.jpg": "mel", "train/nv/a.jpg": "nv"}
    assert records.attributes["split"] == ("train", "train")


def test_spellings_of_one_class_are_one_and_said(tmp_path):
    draw(tmp_path, *(f"{name}/{i}{name}.jpg" for name in ("Odd", "odd", "ODD", "other") for i in range(2)))
    records = read_records(tmp_path)
    assert records.class_counts() == {"ODD": 6, "other": 2}
    assert "ODD, Odd, odd are one class: ODD" in reasons(records)


MASKS = [
    "masks/{}.png", "GradCAM/{}.png", "GT/{}.png", "{}_mask.png", "{}_roi.png", "SegmentationClass/{}.png",
    "seg/{}.png", "Ground Truth/{}.png", "labelsTr/{}x.png", "labels/{}_label.png", "mask_{}.png", "a/gt_{}.png",
    "{}mask.png", "{}.mask.png", "{}_GroundTruth.png", "{}_segmentation_mask.png", "{}_mask_1.png",
    "{}_binary.png", "{}_contour.png",
]  # fmt: skip


@pytest.mark.parametrize("where", MASKS)
@pytest.mark.parametrize("photograph", ["{}.jpg", "{}_orig.jpg", "image_{}.jpg"])
def test_what_is_drawn_from_photographs_is_not_trained_on(tmp_path, photograph, where):
    ids = [f"IMG_{i}" for i in range(5)]
    if where.endswith("/{}.png"):  # by the folder, which holds files of the same names
        where = where.replace("{}.png", photograph.replace("jpg", "png"))
    draw(tmp_path, *(photograph.format(name) for name in ids), *(where.format(name) for name in ids))
    records = read_records(tmp_path)
    assert [path.suffix for path in records.paths] == [".jpg"] * 5
    assert any(problem.kind is Kind.MASK for problem in records.problems)


def test_a_photograph_that_a_table_names_is_no_mask(tmp_path):
    draw(tmp_path, "images/a.jpg", "images/a_lesion.jpg", "images/b.jpg", "images/b_lesion.jpg")
    (tmp_path / "t.csv").write_text("image,label\na,x\na_lesion,x\nb,y\nb_lesion,y\n")
    records = read_records(tmp_path)
    assert (len(records), records.problems) == (4, ())


def test_files_that_differ_in_their_suffix_only_are_one_group(tmp_path):
    draw(tmp_path, "mel/1.jpg", "mel/1.png", "nv/1.jpg", "nv/2.jpg", "nv/2.b.jpg")
    records = read_records(tmp_path)
    groups = dict(zip(records.ids, records.groups, strict=True))
    assert groups["mel/1.jpg"] == groups["mel/1.png"]
    assert len(set(groups.values())) == 4
    assert "1 images have the name of another one with another suffix (1.jpg and 1.png)" in records.joined[0]


def test_photographs_that_only_sound_like_masks_are_kept(tmp_path):
    names = ["lesion_1.jpg", "1_lesions.jpg", "mask_a.jpg", "label_7.jpg", "b_seg.jpg", "facemask.jpg", "gt.jpg"]
    draw(tmp_path, *names)
    assert len(read_records(tmp_path)) == len(names)


def test_two_different_pictures_of_one_id_are_said_and_equal_ones_taken(tmp_path):
    draw(tmp_path, "images/a.jpg", "other/a.jpg", "x/b.jpg", "y/b.jpg", "x/c.jpg")
    (tmp_path / "y" / "c.jpg").write_bytes((tmp_path / "x" / "c.jpg").read_bytes())
    (tmp_path / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\nL1,a,nv\nL2,b,nv\nL3,c,mel\n")
    records = read_records(tmp_path)
    assert dict(zip(records.ids, records.paths, strict=True)) == {
        "a": tmp_path / "images" / "a.jpg",
        "c": tmp_path / "x" / "c.jpg",
    }
    assert "images/a.jpg is taken" in reasons(records)
    assert "b: 2 different pictures have this id (x/b.jpg, y/b.jpg): left out" in reasons(records)


def test_a_link_that_leaves_the_folder_is_said_and_one_above_not_followed(tmp_path):
    draw(tmp_path, "else/a.jpg", "data/b.jpg")
    (tmp_path / "data" / "out").symlink_to(tmp_path / "else")
    (tmp_path / "data" / "root").symlink_to("/")
    records = read_records(tmp_path / "data")
    assert records.ids == ("b.jpg", "out/a.jpg")
    assert "root: a link to a folder that holds this one: not followed" in reasons(records)
    assert "out: a link that leaves the folder: followed" in reasons(records)


def test_names_of_a_mac_match_the_table(tmp_path):
    draw(tmp_path, unicodedata.normalize("NFD", "é1.jpg"), "sub/" + unicodedata.normalize("NFD", "ü2.jpg"))
    (tmp_path / "set.csv").write_text("image,label\né1.jpg,x\nsub/ü2.jpg,y\n", encoding="utf-8")
    assert sorted(labels_of(read_records(tmp_path)).values()) == ["x", "y"]


def test_somebody_elses_manifest_does_not_refuse_a_set(tmp_path):
    draw(tmp_path, "nv/a.jpg", "mel/b.jpg")
    (tmp_path / "manifest.json").write_text('{"name": "my app"}')
    assert read_records(tmp_path).classes == ("mel", "nv")


def test_classes_with_a_folder_per_patient_inside_are_classes(tmp_path):
    draw(tmp_path, *(f"{name}/P{i}/{j}.jpg" for name in ("benign", "odd") for i in range(3) for j in range(2)))
    assert read_records(tmp_path).class_counts() == {"benign": 6, "odd": 6}


def test_folders_of_patients_in_some_classes_only_are_groups_and_the_rest_is_counted(tmp_path):
    draw(tmp_path, "mel/P001/a.jpg", "mel/P001/b.jpg", "mel/c.jpg", "nv/d.jpg", "nv/P002/e.jpg")
    records = read_records(tmp_path)
    groups = dict(zip(records.ids, records.groups, strict=True))
    assert groups["mel/P001/a.jpg"] == groups["mel/P001/b.jpg"] == "P001"
    assert len(set(groups.values())) == 4
    assert (
        "2 folders inside those of the classes (P001, P002 ...) are taken as groups; 2 images lie in none"
        in reasons(records)
    )


@pytest.mark.parametrize(
    "names", [("TrainSet", "TestSet"), ("trainingdata", "testdata"), ("train_images", "testimages")]
)
def test_folders_of_the_parts_in_one_word(names, tmp_path):
    draw(tmp_path, *(f"{name}/{label}/1{label}.jpg" for name in names for label in ("x", "y")))
    records = read_records(tmp_path)
    assert records.class_counts() == {"x": 2, "y": 2}
    assert sorted(records.attributes["split"]) == ["test", "test", "train", "train"]


def test_other_folders_in_folders_are_read_without_labels_and_this_is_said(tmp_path):
    draw(tmp_path, *(f"{name}/{sub}/{j}.jpg" for name in ("one", "two") for sub in ("x", "y") for j in range(2)))
    records = read_records(tmp_path)
    assert records.classes == ()
    assert "hold folders of their own" in reasons(records)


def test_a_table_in_each_part_as_the_hub_has_them(tmp_path):
    for part in ("train", "test"):
        draw(tmp_path / part, "a.jpg", "b.jpg")
        (tmp_path / part / "metadata.csv").write_text("file_name,label\na.jpg,x\nb.jpg,y\n")
    records = read_records(tmp_path)
    assert labels_of(records) == {"train/a.jpg": "x", "train/b.jpg": "y", "test/a.jpg": "x", "test/b.jpg": "y"}
    assert records.attributes["split"] == ("train", "train", "test", "test")


def test_the_values_of_a_split_are_spelled_one_way(tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "set.csv").write_text("image,label,split\na.jpg,x,Training\nb.jpg,y,validation\nc.jpg,y,test\n")
    assert read_records(tmp_path).attributes["split"] == ("train", "val", "test")


# --- groups


def test_minus_one_nan_and_a_frequent_zero_are_no_lesions(tmp_path):
    draw(tmp_path, *(f"{i}.jpg" for i in range(20)))
    ids = ["-1"] * 4 + ["nan"] * 4 + ["0"] * 8 + ["7", "7", "8", "8"]
    lines = [f"{i}.jpg,nv,{lesion}" for i, lesion in enumerate(ids)]
    (tmp_path / "set.csv").write_text("image,label,lesion_id\n" + "\n".join(lines) + "\n")
    records = read_records(tmp_path)
    assert records.groups is not None
    assert len(set(records.groups)) == 18
    assert "have -1 as lesion" in reasons(records)


def test_one_huge_group_is_said_with_its_cause(tmp_path):
    draw(tmp_path, *(f"{i}.jpg" for i in range(20)))
    lines = [f"{i}.jpg,nv,{'clinic' if i < 15 else i}" for i in range(20)]
    (tmp_path / "set.csv").write_text("image,label,patient_id\n" + "\n".join(lines) + "\n")
    assert "15 of 20 images are one group: check" in reasons(read_records(tmp_path))


def test_a_ground_truth_is_joined_with_the_metadata_beside_it(tmp_path):
    draw(tmp_path, *(f"images/ISIC_000000{i}.jpg" for i in range(4)))
    (tmp_path / "ISIC_2024_Training_GroundTruth.csv").write_text(
        "isic_id,malignant\n" + "".join(f"ISIC_000000{i},{i % 2}.0\n" for i in range(4))
    )
    (tmp_path / "metadata.csv").write_text(
        "isic_id,patient_id,sex\n" + "".join(f"ISIC_000000{i},IP_{i // 2},male\n" for i in range(4))
    )
    records = read_records(tmp_path)
    assert (records.layout, records.classes) == ("isic 2024", ("benign", "malignant"))
    assert records.groups == ("IP_0", "IP_0", "IP_1", "IP_1")
    assert records.attributes["sex"] == ("male",) * 4


def test_a_split_beside_the_metadata_is_joined_and_does_not_hide_it(tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\nL1,a,nv\nL2,b,mel\n")
    (tmp_path / "HAM_clean_split.csv").write_text("image_id,split\na,train\nb,test\n")
    (tmp_path / "Folds_train.csv").write_text("image_id,lesion_id,fold\na,L1,0\nb,L2,1\n")
    records = read_records(tmp_path)
    assert labels_of(records) == {"a": "nv", "b": "mel"}
    assert records.attributes["split"] == ("train", "test")
    assert records.attributes["fold"] == ("0", "1")


def test_own_train_and_test_tables_are_one_set_with_a_split(tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "train.csv").write_text("image,label\na.jpg,x\n")
    (tmp_path / "test.csv").write_text("image,label\nb.jpg,y\n")
    records = read_records(tmp_path)
    assert labels_of(records) == {"a.jpg": "x", "b.jpg": "y"}
    assert records.attributes["split"] == ("train", "test")


def test_the_known_pairs_of_ham10000_are_joined_and_said(tmp_path):
    pairs = ham10000_pairs()
    assert len(pairs) == len({frozenset(pair) for pair in pairs}) == 18
    (one, other), _ = pairs[0], draw(tmp_path, f"{pairs[0][0]}.jpg", f"{pairs[0][1]}.jpg", "c.jpg")
    table = f"lesion_id,image_id,dx\nL1,{one},nv\nL2,{other},nv\nL3,c,mel\n"
    (tmp_path / "HAM10000_metadata.csv").write_text(table)
    records = read_records(tmp_path)
    assert records.groups == ("L1", "L1", "L3")
    assert "1 pairs of images show one lesion under two ids: 1 groups fewer (Abhishek" in records.joined[0]
    more = join_groups(records, [(f"{other}.jpg", "c.jpg")], "me")
    assert more.groups == ("L1", "L1", "L1")
    assert len(more.joined) == 2


# --- further sets and the drill


def test_milk10k_labels_by_lesion_and_leaves_clinical_images_out(tmp_path):
    names = "AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC"
    (tmp_path / "MILK10k_Training_GroundTruth.csv").write_text(
        f"lesion_id,{names}\nIL_1,0,0,0,0,0,0,0,1,0,0,0\nIL_2,0,0,0,0,0,0,0,0,0,1,0\n"
    )
    (tmp_path / "MILK10k_Training_Metadata.csv").write_text(
        "lesion_id,image_type,isic_id,age_approx,skin_tone_class\nIL_1,clinical: close-up,ISIC_1,50,3\n"
        "IL_1,dermoscopic,ISIC_2,50,3\nIL_2,dermoscopic,ISIC_3,60,2\n"
    )
    draw(tmp_path / "MILK10k_Training_Input", "IL_1/ISIC_1.jpg", "IL_1/ISIC_2.jpg", "IL_2/ISIC_3.jpg")
    records = read_records(tmp_path)
    assert labels_of(records) == {"ISIC_2": "mel", "ISIC_3": "sccka"}
    assert (records.groups, records.attributes["skin_tone_class"]) == (("IL_1", "IL_2"), ("3", "2"))
    assert "1 images are not dermoscopic" in reasons(records)


def test_isic2017_and_pad_ufes_20(tmp_path):
    draw(tmp_path / "i", "ISIC_0000001.jpg", "ISIC_0000002.jpg", "ISIC_0000003.jpg", "ISIC_0000003_superpixels.png")
    (tmp_path / "i" / "ISIC-2017_Training_Part3_GroundTruth.csv").write_text(
        "image_id,melanoma,seborrheic_keratosis\nISIC_0000001,1.0,0.0\nISIC_0000002,0.0,1.0\nISIC_0000003,0.0,0.0\n"
    )
    assert list(labels_of(read_records(tmp_path / "i")).values()) == ["mel", "bkl", "nv"]
    draw(tmp_path / "p", "PAT_1_2_3.png", "PAT_1_4_5.png")
    (tmp_path / "p" / "metadata.csv").write_text(
        "patient_id,lesion_id,fitspatrick,diagnostic,img_id\nPAT_1,2,3.0,NEV,PAT_1_2_3.png\nPAT_1,4,3.0,ACK,PAT_1_4_5.png\n"
    )
    records = read_records(tmp_path / "p")
    assert (list(labels_of(records).values()), records.groups) == (["nv", "akiec"], ("PAT_1", "PAT_1"))


def test_every_published_set_has_what_a_card_needs():
    assert len({data.tag for data in KNOWN.values()}) == len(KNOWN) >= 15
    for name, data in KNOWN.items():
        assert data.name
        assert data.license
        assert data.attribution or name == "synthetic"


def test_a_layout_is_one_file_and_one_line(tmp_path, monkeypatch):
    """The drill of docs/architecture.md: recogniser, reader and licence of a new set in one object."""

    def read(table: Table, files: Files):
        return match("moon", table, files, [Line(row["crater"], row["depth"]) for row in table.rows])

    moon = Layout("moon", lambda path, have: {"crater", "depth"} <= have, read, DataSet("Moon", "moon", "mit", ("M",)))
    draw(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "craters.csv").write_text("crater,depth\na,deep\nb,flat\n")
    assert read_records(tmp_path).layout == "image folder"
    for module in (registry, __import__("dermssl.data.layouts.tables", fromlist=["LAYOUTS"])):
        monkeypatch.setattr(module, "LAYOUTS", (moon, *registry.LAYOUTS))
    records = read_records(tmp_path)
    assert (records.layout, records.classes) == ("moon", ("deep", "flat"))


def test_a_table_that_names_no_image_says_why(tmp_path):
    draw(tmp_path, "a.jpg")
    (tmp_path / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\nL1,zzz,nv\n")
    with pytest.raises(DermsslError, match=r"zzz: named in HAM10000_metadata\.csv"):
        read_records(tmp_path)
