"""Images in archives, tables and arrays are the same images, with the same labels, as in a folder."""

import io
import json
import os
import random
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermssl.data.cache import open_cache
from dermssl.data.columns import Columns
from dermssl.data.decode import decode
from dermssl.data.prepare import cached, prepare
from dermssl.data.read import read_records
from dermssl.errors import DermsslError


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "caches"))


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


HAM = {f"ISIC_{i:07d}": ("nv", "mel", "bkl")[i % 3] for i in range(9)}


@pytest.fixture
def folder(tmp_path) -> Path:
    """HAM10000's layout: images in two parts, and the table."""
    where = tmp_path / "ham"
    for i, image in enumerate(HAM):
        part = where / f"HAM10000_images_part_{1 + i % 2}"
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{image}.png").write_bytes(picture(i))
    rows = [f"HAM_{i // 2},{image},{dx},{50 + i}" for i, (image, dx) in enumerate(HAM.items())]
    (where / "HAM10000_metadata.csv").write_text("\n".join(["lesion_id,image_id,dx,age", *rows]))
    return where


MODES = {"x.tar.gz": ("w:gz",)}


def bmp(seed: int) -> bytes:
    """All of one size."""
    file = io.BytesIO()
    Image.open(io.BytesIO(picture(seed))).save(file, "BMP")
    return file.getvalue()


def members(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def same(records, expected) -> None:
    assert records.layout == expected.layout
    assert records.ids == expected.ids
    assert records.labels.tolist() == expected.labels.tolist()
    assert (records.classes, records.groups, records.attributes) == (
        expected.classes,
        expected.groups,
        expected.attributes,
    )
    for path, other in zip(records.paths, expected.paths, strict=True):
        assert records.opener.read(path) == other.read_bytes()


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.TAR.BZ2"])
@pytest.mark.parametrize("top", ["", "archive/", "one/two/"])
def test_an_archive_is_read_as_its_folder(tmp_path, folder, name, top):
    files = {top + member: data for member, data in members(folder).items()}
    files |= {
        f"__MACOSX/{top}._x.png": b"junk",
        f"{top}.DS_Store": b"junk",
        f"{top}HAM10000_images_part_1/._y.png": b"",
    }
    mode = {"gz": "w:gz", "tgz": "w:gz", "xz": "w:xz", "bz2": "w:bz2", "tar": "w"}.get(name.lower().split(".")[-1])
    path = tmp_path / name
    write_tar(path, files, mode) if mode else write_zip(path, files)
    records = read_records(path)
    same(records, read_records(folder))
    assert not records.problems


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_equal_files_of_one_name_are_one_image_and_others_are_not(tmp_path, name):
    files = {
        "p1/a.png": picture(1),
        "p2/a.png": picture(1),
        "p1/b.png": picture(2),
        "p1/c.bmp": bmp(3),
        "p2/c.bmp": bmp(4),
    }
    files["t.csv"] = b"image,label\na,mel\nb,nv\nc,nv\n"
    records = read_records((write_zip if name == "x.zip" else write_tar)(tmp_path / name, files, *MODES.get(name, ())))
    assert records.ids == ("a", "b")
    assert [(problem.path, problem.kind) for problem in records.problems] == [("c", "ambiguous file")]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_of_a_file_that_is_twice_in_an_archive_the_last_counts(tmp_path, name):
    files = [("a.png", picture(1)), ("b.png", picture(2)), ("a.png", picture(3)), ("c.png", picture(4))]
    if name == "x.zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member, data in files:
                archive.writestr(member, data)
    else:
        with tarfile.open(tmp_path / name, MODES.get(name, ("w",))[0]) as tar:
            for member, data in files:
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    records = read_records(tmp_path / name)
    assert [records.opener.read(path) for path in records.paths] == [picture(3), picture(2), picture(4)]
    assert [problem.path for problem in records.problems] == ["a.png"]


def test_zips_in_a_folder_go_with_its_table(tmp_path, folder):
    expected, files = read_records(folder), members(folder)
    zips = tmp_path / "zips"
    zips.mkdir()
    (zips / "HAM10000_metadata.csv").write_bytes(files.pop("HAM10000_metadata.csv"))
    for part in (1, 2):
        name = f"HAM10000_images_part_{part}"
        write_zip(zips / f"{name}.zip", {f.split("/")[1]: d for f, d in files.items() if name in f})
    same(read_records(zips), expected)


def test_an_archive_beside_images_is_named_not_read_twice(folder):
    write_zip(folder / "all.zip", members(folder))
    records = read_records(folder)
    assert len(records) == len(HAM)
    assert [p.path for p in records.problems] == ["all.zip"]


def test_the_table_beside_an_archive_is_named(tmp_path):
    write_zip(tmp_path / "a.zip", {"a.png": picture(1), "b.png": picture(2)})
    (tmp_path / "truth.csv").write_text("image,label\na,x\nb,y\n")
    records = read_records(tmp_path / "a.zip")
    assert "truth.csv" in [p.path for p in records.problems]
    assert read_records(tmp_path).class_counts() == {"x": 1, "y": 1}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_cache_of_an_archive_is_that_of_the_folder(tmp_path, folder, name):
    files = members(folder)
    path = write_zip(tmp_path / name, files) if name == "a.zip" else write_tar(tmp_path / name, files, "w:gz")
    cache = prepare(path, tmp_path / "cache", size=16, progress=False)
    expected = prepare(folder, tmp_path / "expected", size=16, progress=False)
    assert np.array_equal(cache.images, expected.images)
    assert cache.content_hash == expected.content_hash
    assert open_cache(tmp_path / "cache").records.ids == expected.records.ids


def test_a_changed_archive_makes_another_cache(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": picture(1), "b.png": picture(2)}, zipfile.ZIP_STORED)
    first = cached(path, size=16, progress=False)
    assert cached(path, size=16, progress=False).path == first.path
    write_zip(path, {"a.png": picture(3), "b.png": picture(2)}, zipfile.ZIP_STORED)
    os.utime(path, ns=(1, 1))
    second = cached(path, size=16, progress=False)
    assert second.path != first.path
    assert np.array_equal(second.images[0], decode(picture(3), 16))


def test_nothing_climbs_out_and_links_are_left_out(tmp_path):
    path = tmp_path / "a.tar"
    write_tar(path, {"../out.png": picture(0), "/abs.png": picture(1), "in/a.png": picture(2), "in/b.png": picture(3)})
    with tarfile.open(path, "a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"in/link{kind!r}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    before = set(tmp_path.parent.rglob("*"))
    records = read_records(path)
    assert records.ids == ("a.png", "b.png")
    assert len(records.problems) == 5
    assert set(tmp_path.parent.rglob("*")) == before


def test_an_archive_that_lies_about_sizes_is_one_error_or_one_bad_image(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": picture(1), "b.png": picture(2)})
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(data)
    records = read_records(path)
    with pytest.raises(DermsslError, match="damaged"):
        records.opener.read(records.paths[0])
    assert records.opener.read(records.paths[1]) == picture(2)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DermsslError, match=r"a\.zip is damaged"):
        read_records(path)


def test_an_encrypted_zip_is_said(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": picture(1)})
    data = path.read_bytes()
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag in both headers
        place = data.index(signature) + offset
        data = data[:place] + bytes([data[place] | 1]) + data[place + 1 :]
    path.write_bytes(data)
    with pytest.raises(DermsslError, match="encrypted"):
        read_records(path)


def test_a_mac_zip_with_decomposed_names_matches_its_table(tmp_path):
    name = "Müller_1"
    path = write_zip(
        tmp_path / "a.zip",
        {f"{unicodedata.normalize('NFD', name)}.png": picture(1), "t.csv": f"image,label\n{name}.png,x\n".encode()},
    )
    assert read_records(path).class_counts() == {"x": 1}


def test_class_folders_in_an_archive(tmp_path):
    files = {f"set/{label}/{i}.png": picture(i) for i, label in enumerate(("NV", "MEL", "NV", "MEL"))}
    assert read_records(write_zip(tmp_path / "a.zip", files)).class_counts() == {"mel": 2, "nv": 2}


def test_what_is_not_read_is_named(tmp_path):
    write_zip(tmp_path / "a.zip", {"a.png": picture(1), "b.7z": b"", "inner.zip": b"", "c.tfrec": b""})
    (tmp_path / "rest.rar").write_bytes(b"")
    records = read_records(tmp_path)
    assert {p.path for p in records.problems} == {"rest.rar", "a.zip/b.7z", "a.zip/inner.zip", "a.zip/c.tfrec"}


@pytest.mark.parametrize("top", ["", "{}/"])
def test_an_archive_of_one_class_only_keeps_it_beside_others(tmp_path, top):
    names = {"train": ("mel/a.png", "nv/b.png"), "test": ("mel/c.png",)}
    for part, inside in names.items():
        files = {top.format(part) + name: picture(ord(name[-5])) for name in inside}
        write_zip(tmp_path / f"{part}.zip", files)
    records = read_records(tmp_path)
    assert records.class_counts() == {"mel": 2, "nv": 1}
    assert records.attributes["split"] == ("test", "train", "train")


@pytest.mark.parametrize(
    "name", ["b.jpg_large", "b.JPG~", "b.jpeg.1", "b.png.bak", "b.jxl", "b.psd", "b.rw2", "b.tif_original"]
)
def test_files_that_are_nearly_images_are_named(name, tmp_path):
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / name).write_bytes(picture(2))
    assert [problem.path for problem in read_records(tmp_path).problems] == [name]


def test_what_cannot_be_read_alone_is_an_error_that_names_it(tmp_path):
    (tmp_path / "images.7z").write_bytes(b"x")
    with pytest.raises(DermsslError, match=r"images\.7z: left out: unpack it"):
        read_records(tmp_path)


def test_webdataset_shards(tmp_path):
    for shard in (0, 1):
        files = {}
        for i in range(3):
            files[f"{i:04d}.png"] = picture(10 * shard + i)
            files[f"{i:04d}.cls"] = str(i % 2).encode()
            files[f"{i:04d}.json"] = json.dumps({"lesion_id": f"L{shard}{i // 2}", "age": 50}).encode()
        write_tar(tmp_path / f"train-{shard:06d}.tar", files)
    records = read_records(f"wds/{tmp_path}")
    assert len(records) == 6
    assert records.class_counts() == {"0": 4, "1": 2}
    assert len(set(records.groups)) == 4
    assert set(records.attributes["split"]) == {"train"}
    assert records.opener.read(records.paths[3]) == picture(10)


def test_masks_in_webdataset_shards_are_no_images(tmp_path):
    kinds = ("jpg", "mask.png", "seg.png")
    files = {f"{i:04d}.{kind}": picture(i + len(kind)) for i in range(4) for kind in kinds}
    files |= {f"{i:04d}.cls": str(i % 2).encode() for i in range(4)}
    records = read_records(write_tar(tmp_path / "train-000000.tar", files))
    assert records.ids == tuple(f"{i:04d}.jpg" for i in range(4))
    assert [problem.kind for problem in records.problems] == ["mask"] * 8


def test_a_table_in_a_webdataset_shard_adds_to_its_images(tmp_path):
    files = {f"{i:04d}.png": picture(i) for i in range(4)} | {f"{i:04d}.cls": str(i % 2).encode() for i in range(4)}
    files["patients.csv"] = b"image,patient_id\n0000,p\n0001,p\n0002,q\n0003,q\n"
    records = read_records(write_tar(tmp_path / "s.tar", files))
    assert records.groups == ("p", "p", "q", "q")
    assert records.class_counts() == {"0": 2, "1": 2}


def test_npz_of_medmnist(tmp_path):
    arrays, expected = {}, []
    for split, count in (("train", 5), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = np.random.default_rng(count).integers(0, 255, (count, 8, 6, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count)[:, None].astype(np.uint8)
        expected += list(arrays[f"{split}_images"])
    np.savez_compressed(tmp_path / "dermamnist_28.npz", **arrays)
    records = read_records(tmp_path / "dermamnist_28.npz")
    assert records.attributes["split"] == ("train",) * 5 + ("val",) * 2 + ("test",) * 3
    assert [records.classes[label] for label in records.labels[:5]] == ["akiec", "bcc", "bkl", "df", "mel"]
    for path, pixels in zip(records.paths, expected, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(records.opener.read(path)))), pixels)


def test_npz_without_images_or_with_others(tmp_path):
    np.savez(tmp_path / "a.npz", features=np.zeros((2, 3)))
    with pytest.raises(DermsslError, match=r"no arrays train_images.*it has features"):
        read_records(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 3, 3)))
    with pytest.raises(DermsslError, match="images is float64"):
        read_records(tmp_path / "a.npz")


def test_isic_2024_hdf5_with_its_table(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "train-image.hdf5", "w") as file:
        for i in range(4):
            file[f"ISIC_{i:07d}"] = np.void(picture(i))
    rows = [f"ISIC_{i:07d},P{i // 2}" for i in range(4)]
    (tmp_path / "train-metadata.csv").write_text("\n".join(["isic_id,patient_id", *rows]))
    records = read_records(tmp_path)
    assert len(records) == 4
    assert len(set(records.groups)) == 2
    assert [records.opener.read(path) for path in records.paths] == [picture(i) for i in range(4)]


def test_hdf5_with_a_group_per_class(tmp_path):
    with pytest.importorskip("h5py").File(tmp_path / "a.h5", "w") as file:
        for i in range(8):
            part, label = ("train", "test")[i // 4], ("mel", "nv")[i % 2]
            file[f"{part}/{label}/{i}"] = np.frombuffer(picture(i), np.uint8)
    records = read_records(tmp_path / "a.h5")
    assert records.class_counts() == {"mel": 4, "nv": 4}
    assert sorted(records.attributes["split"]) == ["test"] * 4 + ["train"] * 4
    assert {records.opener.read(path) for path in records.paths} == {picture(i) for i in range(8)}


PIXELS = np.random.default_rng(5).integers(0, 255, (6, 8, 7, 3), dtype=np.uint8)
NUMBERS = np.arange(6) % 2


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return
    with pytest.importorskip("h5py").File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


@pytest.mark.parametrize("suffix", ["npz", "h5", "hdf5"])
@pytest.mark.parametrize(
    ("images", "labels"),
    [("train_images", "train_labels"), ("x_train", "y_train"), ("train/images", "train/labels"), ("x", "y")],
)
def test_arrays_by_the_names_that_people_give_them(suffix, images, labels, tmp_path):
    arrays = {images: PIXELS[:4], labels: NUMBERS[:4]}
    if "train" in images:
        arrays |= {images.replace("train", "test"): PIXELS[4:], labels.replace("train", "test"): np.eye(2)[NUMBERS[4:]]}
    write_arrays(tmp_path / f"set.{suffix}", arrays)
    records = read_records(tmp_path / f"set.{suffix}")
    count = 6 if "train" in images else 4
    assert [records.classes[label] for label in records.labels] == [str(number) for number in NUMBERS[:count]]
    assert records.attributes.get("split", ("",) * 4)[:4] == (("train",) * 4 if count == 6 else ("",) * 4)
    for path, pixels in zip(records.paths, PIXELS[:count], strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(records.opener.read(path)))), pixels)


@pytest.mark.parametrize("suffix", ["npz", "h5"])
@pytest.mark.parametrize("column", ["groups", "lesion_id", "patients", "patient_id"])
@pytest.mark.parametrize("part", ["{}", "train_{}", "{}_train", "train/{}"])
def test_lesions_patients_and_further_columns_of_arrays(suffix, column, part, tmp_path):
    images, labels = ("x_train", "y_train") if part == "{}_train" else (part.format("images"), part.format("labels"))
    groups = np.array(["p", "p", "q", "q", "r", "r"], dtype="S")
    arrays = {images: PIXELS, labels: NUMBERS, part.format(column): groups, part.format("age"): np.arange(6)[:, None]}
    write_arrays(tmp_path / f"set.{suffix}", arrays | {"masks": PIXELS[..., 0], "names": np.zeros(2)})
    records = read_records(tmp_path / f"set.{suffix}")
    assert records.groups == ("p", "p", "q", "q", "r", "r")
    assert records.attributes["age"] == ("0", "1", "2", "3", "4", "5")
    assert {problem.path for problem in records.problems} == {f"set.{suffix}/masks", f"set.{suffix}/names"}


@pytest.mark.parametrize("suffix", ["npz", "h5"])
@pytest.mark.parametrize("word", ["val", "valid", "validation"])
def test_no_part_of_arrays_is_lost(suffix, word, tmp_path):
    arrays = {"x_train": PIXELS[:3], "y_train": np.array([0.0, 1.0, -1.0]), "x_test": PIXELS[5:], "y_test": NUMBERS[5:]}
    write_arrays(tmp_path / f"set.{suffix}", arrays | {f"x_{word}": PIXELS[3:5], f"y_{word}": NUMBERS[3:5]})
    records = read_records(tmp_path / f"set.{suffix}")
    assert records.attributes["split"] == ("train",) * 3 + ("val",) * 2 + ("test",)
    assert [records.classes[label] if label >= 0 else None for label in records.labels] == [
        "0",
        "1",
        None,
        "1",
        "0",
        "1",
    ]


def test_a_split_in_an_array(tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=NUMBERS, split=np.array(["train", "test"] * 3))
    assert read_records(tmp_path / "a.npz").attributes["split"] == ("train", "test") * 3


def test_a_group_of_an_hdf5_file_that_is_no_part_is_named(tmp_path):
    write_arrays(tmp_path / "a.h5", {"images": PIXELS, "labels": NUMBERS, "more/images": PIXELS})
    assert [problem.path for problem in read_records(tmp_path / "a.h5").problems] == ["a.h5/more"]


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"features": PIXELS, "y": NUMBERS}, r"features is an array \(6, 8, 7, 3\): name it images"),
        ({"y": NUMBERS}, "no image, and no array called images, train_images or train/images; it has y"),
        ({"group/pixels": PIXELS}, r"group/pixels is an array \(6, 8, 7, 3\): name it images"),
        ({"group/y": NUMBERS}, "no image, and no array called images, train_images or train/images; it has group"),
        ({"images": PIXELS / 255}, "images is float64"),
        ({"images": PIXELS, "labels": NUMBERS[:3]}, "labels has 3 rows for 6 images"),
    ],
)
def test_hdf5_without_images_is_refused_with_what_it_has(arrays, fault, tmp_path):
    write_arrays(tmp_path / "set.h5", arrays)
    with pytest.raises(DermsslError, match=fault):
        read_records(tmp_path / "set.h5")


def test_an_archive_of_archives_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as file:
        file.writestr("a/1.jpg", picture(1))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as file:
        file.write(tmp_path / "inner.zip", "inner.zip")
    with pytest.raises(DermsslError, match=r"outer.zip holds no image.*inner.zip: an archive in an archive"):
        read_records(tmp_path / "outer.zip")


def write_parquet(path: Path, columns: dict, names: list[str] | None = None, rows_per_group: int = 2) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=rows_per_group)


@pytest.mark.parametrize("spelling", ["{}", "hfds/{}"])
def test_parquet_of_the_hub(tmp_path, spelling):
    for number, (split, start) in enumerate((("train", 0), ("train", 5), ("test", 10))):
        images = [{"bytes": picture(start + i), "path": f"{start + i}.png"} for i in range(5)]
        path = tmp_path / f"data/{split}-0000{number}-of-00003.parquet"
        write_parquet(path, {"image": images, "label": [0, 1, 0, 1, -1]}, ["benign", "malignant"])
    records = read_records(spelling.format(tmp_path))
    assert len(records) == 15
    assert records.class_counts() == {"benign": 6, "malignant": 6}
    assert records.attributes["split"].count("test") == 5
    order = list(range(15))
    random.Random(0).shuffle(order)
    by_id = dict(zip(records.ids, records.paths, strict=True))
    for i in order:
        assert records.opener.read(by_id[f"{i}.png"]) == picture(i)


def test_parquet_with_hams_columns_in_words(tmp_path):
    words = ["melanocytic_Nevi", "melanoma", "benign_keratosis-like_lesions", "actinic_keratoses"]
    columns = {
        "image": [{"bytes": picture(i), "path": None} for i in range(4)],
        "image_id": [f"ISIC_{i}" for i in range(4)],
        "lesion_id": ["a", "a", "b", "c"],
        "dx": words,
    }
    write_parquet(tmp_path / "train.parquet", columns)
    records = read_records(tmp_path)
    assert records.class_counts() == {"akiec": 1, "bkl": 1, "mel": 1, "nv": 1}
    assert len(set(records.groups)) == 3


@pytest.mark.parametrize("kind", ["parquet", "parquet without names", "tar", "tfrec"])
def test_parts_in_folders_whose_files_have_the_same_names(kind, tmp_path):
    parts = ("train", "validation", "test")
    for number, part in enumerate(parts):
        pictures = [picture(10 * number + i) for i in range(2)]
        (tmp_path / part).mkdir()
        if kind == "tar":
            files = {f"{i}.png": data for i, data in enumerate(pictures)} | {"0.cls": b"x", "1.cls": b"y"}
            write_tar(tmp_path / part / "000.tar", files)
        elif kind == "tfrec":
            examples = [example(image=data, filename=b"%d.png" % i, label=i) for i, data in enumerate(pictures)]
            write_tfrecord(tmp_path / part / "000.tfrec", *examples)
        else:
            names = [None, None] if "without" in kind else ["0.png", "1.png"]
            images = [{"bytes": data, "path": name} for data, name in zip(pictures, names, strict=True)]
            write_parquet(tmp_path / part / "000.parquet", {"image": images, "label": ["x", "y"]})
    records = read_records(tmp_path)
    seen = {
        records.opener.read(path): part for path, part in zip(records.paths, records.attributes["split"], strict=True)
    }
    wanted = ("train", "val", "test")
    assert seen == {picture(10 * number + i): part for number, part in enumerate(wanted) for i in range(2)}
    assert sorted(records.class_counts().values()) == [3, 3]


def test_parquet_with_classes_in_paths_and_columns_of_lists(tmp_path):
    for part in ("train", "test"):
        images = [{"bytes": picture(i), "path": f"{'mn'[i % 2]}/{i}.png"} for i in range(4)]
        write_parquet(tmp_path / f"{part}.parquet", {"image": images, "patients": [["p"], ["q"]] * 2})
    records = read_records(tmp_path)
    assert records.class_counts() == {"m": 4, "n": 4}
    assert sorted(records.attributes) == ["split"]
    said = {problem.path for problem in records.problems if problem.kind == "left out"}
    assert said == {"train.parquet/patients", "test.parquet/patients"}


def test_a_missing_library_is_one_error_that_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DermsslError, match=r"a\.parquet needs pyarrow: pip install \"dermssl\[sources\]\""):
        read_records(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("tfds/no_such_set", r"prepare it once by tensorflow_datasets.load\('no_such_set'\)"),
        ("hfids/a/b", "write hfds/a/b"),
        ("wds/nowhere", "there is no nowhere"),
        ("torch/cifar10", "name the folder too"),
        ("torch/cifar10:nowhere", "there is no folder nowhere"),
    ],
)
def test_spellings_that_cannot_be_read_say_what_to_do(data, message):
    with pytest.raises(DermsslError, match=message):
        read_records(data)


def test_torchvision_by_timm(tmp_path):
    for split in ("train", "validation"):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(2):
                (tmp_path / split / label / f"{i}.png").write_bytes(picture(i))
    records = read_records(f"torch/image_folder:{tmp_path}")
    assert records.class_counts() == {"a": 4, "b": 4}
    assert records.attributes["split"] == ("train",) * 4 + ("test",) * 4


class Pairs:
    """A map-style data set."""

    classes = ("benign", "malignant")

    def __init__(self, count: int = 6) -> None:
        self.images = [Image.open(io.BytesIO(picture(i))) for i in range(count)]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.images[index], index % 2


def test_a_data_set_made_in_python(tmp_path):
    cache = prepare(Pairs(), tmp_path / "cache", size=16, progress=False)
    assert cache.records.class_counts() == {"benign": 3, "malignant": 3}
    assert np.array_equal(cache.images[4], decode(picture(4), 16))
    pairs = [(image, "x" if i else None) for i, image in enumerate(Pairs().images)]
    first = cached(pairs, size=16, progress=False)
    assert first.records.class_counts() == {"x": 5}
    assert cached(list(pairs), size=16, progress=False).path == first.path
    assert cached(pairs[::-1], size=16, progress=False).path != first.path


def test_lesions_and_columns_of_a_data_set_made_in_python(tmp_path):
    images = [Image.open(io.BytesIO(picture(i))) for i in range(4)]
    items = [
        {
            "image": image,
            "label": i % 2,
            "patient": f"P{i // 2}",
            "age": np.int64(50 + i),
            "split": "training",
            "mask": image,
        }
        for i, image in enumerate(images)
    ]
    records = read_records(items)
    assert records.groups == ("P0", "P0", "P1", "P1")
    assert records.attributes == {
        "patient": ("P0", "P0", "P1", "P1"),
        "age": ("50", "51", "52", "53"),
        "split": ("train",) * 4,
    }
    assert [problem.path for problem in records.problems] == ["mask"]
    assert len(set(read_records(Columns(items, group="age")).groups)) == 4
    tuples = [(image, i % 2, f"L{i // 2}") for i, image in enumerate(images)]
    assert read_records(Columns(tuples, group="item 2")).groups == ("L0", "L0", "L1", "L1")
    assert prepare(items, tmp_path / "cache", size=16, progress=False).records.groups == records.groups


def test_class_names_of_a_data_set_of_the_hub():
    class OfTheHub(list):
        def __init__(self, items):
            super().__init__(items)
            self.features = {"label": type("ClassLabel", (), {"names": ["benign", "malignant"]})}

    records = read_records(OfTheHub({"image": picture(i), "label": i % 2} for i in range(4)))
    assert records.class_counts() == {"benign": 2, "malignant": 2}


@pytest.mark.parametrize("mode", ["L", "I;16", "I", "F"])
def test_pictures_of_more_than_8_bits_made_in_python(mode, tmp_path):
    grey = np.asarray(Image.open(io.BytesIO(picture(0))).convert("L"))
    values = {"L": grey, "I;16": grey.astype(np.uint16) * 257, "I": grey.astype(np.int32) * 257, "F": grey / 255}[mode]
    image = Image.fromarray(values.astype(np.float32) if mode == "F" else values)
    assert image.mode == mode
    of_grey, of_mode = prepare([Image.fromarray(grey), image], tmp_path / "cache", size=16, progress=False).images
    assert np.abs(of_grey.astype(int) - of_mode).max() <= 1


@pytest.mark.parametrize(
    ("data", "message"), [([], "is empty"), (iter(()), "map-style"), ([(3, 1)], "PIL image"), (7, "map-style")]
)
def test_what_is_no_data_set(data, message):
    with pytest.raises(DermsslError, match=message):
        read_records(data)


def test_label_and_group_by_name(tmp_path, folder):
    lesions = read_records(folder).groups
    (folder / "mine.csv").write_text(
        "file;finding;patient\n"
        + "\n".join(f"{name}.png;{'bad' if i < 4 else 'good'};p{i % 3}" for i, name in enumerate(HAM))
    )
    records = read_records(Columns(folder, "finding", "patient"))
    assert records.class_counts() == {"bad": 4, "good": 5}
    assert len(set(records.groups)) == 3
    assert read_records(Columns(folder, label="age")).class_counts().keys() == {str(50 + i) for i in range(9)}
    assert read_records(Columns(folder, "dx", "lesion_id")).groups == lesions
    alone = read_records(Columns(folder / "mine.csv", "finding", None))
    assert alone.class_counts() == {"bad": 4, "good": 5}
    assert len(set(alone.groups)) == 3  # its column is called patient
    with pytest.raises(DermsslError, match=r"--label nothing: no such column in .*; it has .*dx"):
        read_records(Columns(folder, "nothing", None))
    with pytest.raises(DermsslError, match=r"no such column"):
        read_records(Columns(folder, None, "nothing"))


def test_label_and_group_of_a_cache_and_of_an_archive(tmp_path, folder):
    cache = prepare(folder, tmp_path / "cache", size=32, progress=False)
    for size in (32, 16):  # opened as it is, and reduced
        renamed = cached(Columns(cache.path, "age", None), size=size, progress=False)
        assert len(renamed.records.classes) == 9
        assert renamed.records.groups == cache.records.groups
    path = write_zip(tmp_path / "a.zip", members(folder))
    assert len(read_records(Columns(path, "age", None)).classes) == 9
    again = prepare(folder, tmp_path / "again", size=16, label="age", group="dx", progress=False)
    assert (len(again.records.classes), len(set(again.records.groups))) == (9, 3)


def test_a_dicom_file(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    file.set_pixel_data(pixels, "RGB", 8)
    file.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    records = read_records(tmp_path)
    decoded = decode(records.opener.read(records.paths[0]), 16)
    assert np.array_equal(decoded, decode(_png(pixels), 16))


def test_heic_and_avif_files(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    image = Image.open(io.BytesIO(picture(0, (64, 48)))).resize((8, 8)).resize((64, 48))
    heif.from_pillow(image).save(tmp_path / "a.heic", quality=95)
    image.save(tmp_path / "b.avif", quality=95)
    records = read_records(tmp_path)
    assert records.ids == ("a.heic", "b.avif")
    for path in records.paths:
        difference = decode(records.opener.read(path), 16).astype(int) - np.asarray(image.resize((16, 16)))
        assert np.abs(difference).mean() < 12


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def varint(number: int) -> bytes:
    number %= 2**64
    found = b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def example(**features) -> bytes:
    """A tf.train.Example by its own definition (tensorflow/core/example/feature.proto)."""
    entries = b""
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = field(1, field(1, value))
        elif isinstance(value, float):
            feature = field(2, field(1, np.float32(value).tobytes()))
        elif isinstance(value, list):
            feature = field(3, field(1, b"".join(map(varint, value))))
        else:
            feature = field(3, field(1, varint(value)))
        entries += field(1, field(1, name.encode()) + field(2, feature))
    return field(1, entries)


def write_tfrecord(path: Path, *examples: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(len(e).to_bytes(8, "little") + bytes(4) + e + bytes(4) for e in examples))


def test_what_of_a_record_is_left_out_is_named(tmp_path):
    examples = [example(image=picture(i), mask=picture(9), label=i % 2, one_hot=[i % 2, 1 - i % 2]) for i in range(4)]
    write_tfrecord(tmp_path / "train.tfrec", *examples)
    files = {f"{i}.png": picture(i) for i in range(4)}
    files |= {f"{i}.json": json.dumps({"a": [1, 0], "label": i % 2}).encode() for i in range(4)}
    (tmp_path / "tar").mkdir()
    write_tar(tmp_path / "tar" / "train-0.tar", files)
    for name, left_out in (("train.tfrec", ["mask", "one_hot"]), ("tar", ["a"])):
        records = read_records(tmp_path / name)
        assert len(records) == 4
        assert records.classes
        assert [problem.path for problem in records.problems] == left_out


@pytest.mark.parametrize("prepared", [True, False])
def test_tensorflow_datasets_without_tensorflow(tmp_path, monkeypatch, prepared):
    folder = tmp_path / "skin" / "1.10.0"
    for split, start in (("train", 0), ("test", 4)):
        for shard in (0, 1):
            first = start + 2 * shard
            examples = [example(image=picture(i), label=i % 2, age=50.5, delta=-3) for i in range(first, first + 2)]
            write_tfrecord(folder / f"skin-{split}.tfrecord-0000{shard}-of-00002", *examples)
    (folder / "label.labels.txt").write_text("benign\nmalignant\n")
    (folder / "dataset_info.json").write_text("{}")
    write_tfrecord(tmp_path / "skin" / "1.9.0" / "skin-train.tfrecord-00000-of-00001", example(image=picture(0)))
    (tmp_path / "skin" / "1.9.0" / "dataset_info.json").write_text("{}")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    records = read_records("tfds/skin" if prepared else f"tfds/{folder}")
    assert records.class_counts() == {"benign": 4, "malignant": 4}
    assert (records.attributes["split"].count("train"), records.attributes["delta"][0]) == (4, "-3")
    expected = {picture(i): ("benign", "malignant")[i % 2] for i in range(8)}
    for path, label in zip(records.paths, records.labels, strict=True):
        assert expected.pop(records.opener.read(path)) == records.classes[label]


def test_tfrecords_of_kaggle_with_their_table(tmp_path):
    """SIIM-ISIC 2020 as Chris Deotte wrote it: codes in the records, the words in train.csv beside them."""
    examples = [example(image=picture(i), image_name=f"ISIC_{i}".encode(), target=i % 2, diagnosis=i) for i in range(4)]
    write_tfrecord(tmp_path / "train00-4.tfrec", *examples)
    rows = [f"ISIC_{i},IP_{i // 2},{('nevus', 'melanoma')[i % 2]}" for i in range(4)]
    (tmp_path / "train.csv").write_text("\n".join(["image_name,patient_id,diagnosis", *rows]))
    records = read_records(tmp_path)
    assert records.class_counts() == {"mel": 2, "nv": 2}
    assert len(set(records.groups)) == 2
    assert [records.opener.read(path) for path in records.paths] == [picture(i) for i in range(4)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x", "cut short"),
        (bytes([255] * 40), "cut short, or not TFRecords"),
        (b"\x1f\x8b" + bytes(30), "is compressed"),
        ((5).to_bytes(8, "little") + bytes(4) + b"\x0a\x7f\x01\x01\x01" + bytes(4), "not a tf.train.Example"),
        ((2).to_bytes(8, "little") + bytes(4) + b"\xff\xff" + bytes(4), "is damaged"),
    ],
)
def test_damaged_tfrecords_are_one_error(tmp_path, data, message):
    (tmp_path / "train00.tfrec").write_bytes(data)
    with pytest.raises(DermsslError, match=rf"train00\.tfrec.*{message}"):
        read_records(tmp_path)


def test_a_data_set_of_the_hub(tmp_path, monkeypatch):
    asked = {}

    def snapshot_download(repository, **more):
        asked.update(more, repository=repository)
        write_zip(tmp_path / "data.zip", {"NV/a.png": picture(1), "MEL/b.png": picture(2)})
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    records = read_records("hfds/someone/skin@v1")
    assert (asked["repository"], asked["revision"], asked["repo_type"]) == ("someone/skin", "v1", "dataset")
    assert records.class_counts() == {"mel": 1, "nv": 1}


def test_a_data_set_that_the_hub_does_not_have(monkeypatch):
    def snapshot_download(*_, **__):
        raise ValueError("no such repository\nmore")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(DermsslError, match=r"hfds/someone/skin: the Hub does not provide it \(no such repository\)"):
        read_records("hfds/someone/skin")
