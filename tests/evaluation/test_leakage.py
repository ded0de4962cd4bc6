"""Duplicates are found whatever was done to them, and nothing else is."""

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from dermssl.cli.leakage import FOUND, command
from dermssl.data.prepare import prepare
from dermssl.data.synthetic_photographs import draw
from dermssl.errors import DermsslError
from dermssl.evaluation.leakage.align import likeness
from dermssl.evaluation.leakage.pictures import Pictures
from dermssl.evaluation.leakage.search import NEIGHBOURS, SIZE, _embedding_neighbours, leakage
from dermssl.evaluation.leakage.split import split_gap
from dermssl.evaluation.leakage.views import (
    BITS,
    BOXES,
    TURNS,
    VIEWS,
    best_of_each_pair,
    best_views,
    candidates,
    hashes,
    signs,
    transform,
    turned,
)
from dermssl.evaluation.setup import Setup

Flip = Image.Transpose.FLIP_LEFT_RIGHT


def photograph(seed, size=160):
    """A drawn lesion on skin with the fine grain that real photographs have and drawn ones lack."""
    label = ("nv", "mel", "bkl", "bcc")[seed % 4]
    pixels = np.asarray(draw(label, size, lesion=(5, seed), view=(5, seed, 0))).astype(np.float32)
    rng = np.random.default_rng(seed)
    grain = Image.fromarray(rng.normal(0, 1, (40, 40)).astype(np.float32)).resize((size, size), 3)
    return Image.fromarray((pixels + 9 * np.asarray(grain)[..., None]).clip(0, 255).astype(np.uint8))


def cropped(image, keep, x, y):
    left, top = (round((edge - round(edge * keep)) * place) for edge, place in zip(image.size, (x, y), strict=True))
    return image.crop((left, top, left + round(image.width * keep), top + round(image.height * keep)))


CHANGES = {
    "smaller": lambda image: image.resize((100, 100)),
    "larger": lambda image: image.resize((300, 300)),
    "recompressed": lambda image: image,
    "rotated 90": lambda image: image.rotate(90),
    "rotated 180": lambda image: image.rotate(180),
    "rotated 270": lambda image: image.rotate(270),
    "mirrored": lambda image: image.transpose(Flip),
    "mirrored, rotated": lambda image: image.transpose(Flip).rotate(90),
    "crop 5 %": lambda image: cropped(image, 0.95, 0.5, 0.5),
    "crop 5 %, corner": lambda image: cropped(image, 0.95, 1, 0),
    "crop 5 %, anywhere": lambda image: cropped(image, 0.95, 0.3, 0.8),
    "crop 10 %": lambda image: cropped(image, 0.9, 0.5, 0.5),
    "everything": lambda image: cropped(image, 0.95, 0.7, 0.2).rotate(90).resize((120, 120)),
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """52 different lesions."""
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(52):
        photograph(seed).save(folder / f"{seed:02}.png")
    return folder


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Four photographs changed in every way, none of them the same file."""
    folder = tmp_path_factory.mktemp("copies")
    for number, (name, change) in enumerate(CHANGES.items()):
        for seed in range(number, 52, 13):
            change(photograph(seed)).save(
                folder / f"{seed:02} {name}.jpg", quality=70 if name == "recompressed" else 90
            )
    return folder


def test_every_changed_copy_is_found_and_nothing_else(photographs, copies):
    result = leakage(photographs, copies)
    found = {pair.second: pair for pair in result.pairs}
    missed = [path.name for path in copies.iterdir() if path.name not in found]
    assert not missed
    assert all(pair.first[:2] == pair.second[:2] for pair in result.pairs)
    assert len(result.pairs) == 52
    assert {pair.kind for pair in result.pairs} == {"near"}
    turns = {pair.second[3:-4]: pair.turn for pair in result.pairs}
    assert turns["recompressed"] == turns["crop 5 %"] == "as it is"
    assert turns["rotated 180"] == "rotated by 180°"
    assert turns["mirrored"] == "mirrored left to right"
    # 90 degrees one way and 270 back: which of the two is "the turned one" depends on the order, not on the pair
    assert {turns["rotated 90"], turns["rotated 270"]} == {
        "rotated by 90° clockwise",
        "rotated by 90° counter-clockwise",
    }


def test_the_order_of_the_sets_does_not_matter(photographs, copies):
    there = {(pair.first, pair.second) for pair in leakage(photographs, copies).pairs}
    back = {(pair.second, pair.first) for pair in leakage(copies, photographs).pairs}
    assert there == back


def test_different_photographs_are_no_pairs(photographs):
    result = leakage(photographs)
    assert result.pairs == ()
    assert result.counts()["pairs"] == 0


def test_the_same_bytes_are_exact_pairs_with_labels_and_lesions(tmp_path):
    names = []
    for seed in range(6):
        photograph(seed).save(tmp_path / f"{seed}.png")
    for copy, source in (("a", 0), ("b", 0), ("c", 3)):
        (tmp_path / f"{copy}.png").write_bytes((tmp_path / f"{source}.png").read_bytes())
    groups = {"0": "L0", "a": "L0", "b": "L9", "3": "L3", "c": "L3"}
    for name in [*"012345", *"abc"]:
        names.append([f"{name}.png", "mel" if name == "b" else "nv", groups.get(name, f"L{name}")])
    with open(tmp_path / "images.csv", "w", newline="") as file:
        csv.writer(file).writerows([["image", "label", "group"], *names])
    result = leakage(tmp_path / "images.csv")
    exact = {(p.first, p.second): p for p in result.pairs if p.kind == "exact"}
    assert set(exact) == {("0.png", "a.png"), ("0.png", "b.png"), ("3.png", "c.png")}
    assert exact["0.png", "a.png"].same_group is True
    assert exact["0.png", "b.png"].same_group is False
    assert (exact["0.png", "b.png"].label, exact["0.png", "b.png"].other_label) == ("nv", "mel")
    # a and b are copies of one file too: seen as near, since each exact copy is listed with the first only
    assert {(p.first, p.second) for p in result.across_groups} == {("0.png", "b.png"), ("a.png", "b.png")}
    assert result.counts()["different_labels"] == 2


def test_an_image_without_a_lesion_is_of_none_that_is_known(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        for seed, image in ((0, "a"), (0, "b"), (1, "c")):
            photograph(seed).save(tmp_path / name / f"{image}.png")
        lesion = "L2" if name == "one" else "l2"
        (tmp_path / name / "t.csv").write_text(f"image,label,lesion_id\na.png,x,L1\nb.png,x,\nc.png,y,{lesion}\n")
    inside = leakage(tmp_path / "one")
    assert [(p.first, p.second, p.same_group) for p in inside.pairs] == [("a.png", "b.png", None)]
    assert leakage(tmp_path / "one", tmp_path / "other").shared_groups == 2  # L1 and L2


def test_pictures_of_one_colour_are_not_compared(tmp_path):
    for shade in range(12):
        Image.new("RGB", (64, 64), (200, 10 * shade, 90)).save(tmp_path / f"{shade}.png")
    assert leakage(tmp_path).pairs == ()


class TestHash:
    images = torch.from_numpy(
        np.stack([np.asarray(photograph(seed, SIZE).convert("L")) for seed in range(4)]).astype(np.float32)
    )

    @pytest.mark.parametrize("turn", range(8))
    def test_turned_transform_is_the_transform_of_the_turned_image(self, turn):
        transposed, flip_y, flip_x = TURNS[turn]
        image = self.images.transpose(1, 2) if transposed else self.images
        image = image.flip([axis for axis, flip in ((1, flip_y), (2, flip_x)) if flip])
        expected = transform(image, BOXES[0])
        torch.testing.assert_close(turned(transform(self.images, BOXES[0]), turn), expected, atol=10, rtol=1e-4)

    def test_transform_of_a_box_is_that_of_the_cropped_image(self):
        box = torch.tensor([8, 0, 88, 80]) / SIZE
        expected, seen = transform(self.images[:, :80, 8:88], BOXES[0]), transform(self.images, box)
        torch.testing.assert_close(seen, expected, atol=10, rtol=1e-4)

    def test_candidates_are_those_of_a_plain_loop(self):
        pictures = Pictures([np.stack([np.asarray(photograph(seed, 64)) for seed in range(9)])], SIZE)
        rows = torch.arange(9)
        found = candidates(pictures, rows, rows, agreement=0.2)
        asked = [hashes(pictures, rows, view) for view in range(VIEWS)]
        expected = {
            (i, j, view, int((asked[0][i] * asked[view][j]).sum()))
            for i in range(9)
            for j in range(9)
            for view in range(VIEWS)
            if i != j and (asked[0][i] * asked[view][j]).sum() > 0.2 * BITS
        }
        assert expected
        assert {tuple(row) for row in found.tolist()} == expected
        best = best_of_each_pair(found)
        assert len(best) == len({row[:2] for row in expected})
        for i, j, _, score in best.tolist():
            assert score == max(row[3] for row in expected if row[:2] == (i, j))

    def test_best_view_of_a_given_pair(self):
        pictures = Pictures([np.stack([np.asarray(photograph(0, 96)), np.asarray(photograph(0, 96).rotate(90))])], SIZE)
        ((first, second, view, score),) = best_views(pictures, torch.tensor([[0, 1]])).tolist()
        assert (first, second) == (0, 1)
        assert view % 8 == 5  # turned back clockwise
        assert score == BITS

    def test_signs_are_one_and_minus_one(self):
        assert signs(transform(self.images, BOXES[0])).abs().unique().tolist() == [1.0]


def test_alignment_finds_the_crop():
    image = photograph(3, 192)
    left, top, edge = 4, 9, 180
    part = image.crop((left, top, left + edge, top + edge)).resize((192, 192), Image.Resampling.BICUBIC)
    pictures = Pictures([np.stack([np.asarray(part), np.asarray(image), np.asarray(photograph(4, 192))])], SIZE)
    pairs = torch.cat([best_views(pictures, torch.tensor([[0, 1]])), best_views(pictures, torch.tensor([[0, 2]]))])
    (same, other), boxes = likeness(pictures, pairs)
    assert same > 0.9
    assert other < 0.4
    expected = torch.tensor([left, top, left + edge, top + edge]) / 192
    torch.testing.assert_close(boxes[0], expected, atol=0.005, rtol=0)


def test_the_edge_of_the_field_of_view_is_not_what_is_compared(tmp_path):
    """The pictures of one microscope have the same black corners."""
    place = np.linspace(-1, 1, 160)
    outside = np.hypot(place[:, None], place) > 0.95
    for seed in range(24):
        pixels = np.array(photograph(seed))
        pixels[outside] = 5
        Image.fromarray(pixels).save(tmp_path / f"{seed}.png")
    assert leakage(tmp_path).pairs == ()
    Image.open(tmp_path / "7.png").rotate(90).resize((120, 120)).save(tmp_path / "copy.jpg")
    ((pair),) = leakage(tmp_path).pairs
    assert (pair.first, pair.second) == ("7.png", "copy.jpg")


def test_neighbours_by_embedding_are_compared_too(photographs):
    plain = leakage(photographs)
    helped = leakage(photographs, weights="random:resnet18", image_size=64, device="cpu")
    assert plain.settings["compared_in_detail"] < helped.settings["compared_in_detail"]
    assert helped.pairs == ()
    assert helped.split is None  # no labels, so nothing to say of folds


@pytest.mark.parametrize("split_at", [None, 12])
def test_embedding_neighbours_are_the_nearest_by_cosine(split_at):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 8)).astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    rows = torch.tensor([i for i in range(30) if i % 7])  # some pictures have no content
    expected = set()
    for i in rows.tolist():
        others = [j for j in rows.tolist() if j != i] if split_at is None else [j for j in rows.tolist() if j < 12]
        if split_at is None or i >= 12:
            nearest = sorted(others, key=lambda j: -float(unit[i] @ unit[j]))[:NEIGHBOURS]
            expected |= {(min(i, j), max(i, j)) for j in nearest}
    parts = [features] if split_at is None else [features[:12], features[12:]]
    assert set(_embedding_neighbours(parts, rows, split_at)) == expected


class TestSplit:
    def test_plain_folds_overstate_where_copies_of_noise_repeat(self, tmp_path):
        """Labels that say nothing of the pictures: whatever plain folds are right about is leaked."""
        rng = np.random.default_rng(0)
        rows = []
        for lesion in range(60):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            for view in range(2):
                noise = rng.normal(0, 4, (32, 32, 3))
                image = np.asarray(Image.fromarray(pixels).resize((32, 32), 0)) + noise
                name = f"{lesion}_{view}.png"
                Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(tmp_path / name)
                rows.append([name, "mel" if lesion % 2 else "nv", f"L{lesion}"])
        with open(tmp_path / "images.csv", "w", newline="") as file:
            csv.writer(file).writerows([["image", "label", "group"], *rows])
        gap = split_gap(Setup.of("random:resnet18", image_size=32, device="cpu"), tmp_path / "images.csv", same=[])
        assert gap.k[0] == 1
        assert gap.plain[0] > 0.75
        assert gap.grouped[0] < 0.65
        assert gap.gap[0] == pytest.approx(gap.plain[0] - gap.grouped[0])
        assert gap.interval[0][0] > 0.1
        assert gap.repeated_images == gap.images == 120
        assert gap.plain_repeated == pytest.approx(gap.plain)
        assert "overstated by" in gap.to_markdown()

    def test_nothing_repeats(self, tmp_path):
        for number, label in enumerate(("mel", "nv")):
            (tmp_path / label).mkdir()
            for i in range(6):
                photograph(6 * number + i, 32).save(tmp_path / label / f"{i}.png")
        assert split_gap(Setup.of("random:resnet18", image_size=32, device="cpu"), tmp_path, same=[]) is None


class TestCommand:
    def test_pairs_found(self, photographs, copies, tmp_path):
        out = tmp_path / "out"
        result = CliRunner().invoke(command, [str(photographs), str(copies), "--output", str(out), "--json"])
        assert result.exit_code == FOUND == 3, result.output
        printed = json.loads(result.stdout)
        assert printed == json.loads((out / "leakage.json").read_text())
        assert printed["counts"]["pairs"] == len(printed["pairs"]) == 52
        with open(out / "pairs.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["second"] for row in rows] == [pair["second"] for pair in printed["pairs"]]
        page = (out / "leakage.html").read_text()
        assert page.count("<img") == 2 * 52
        assert "http://" not in page.replace("http://www.w3.org", "")

    def test_nothing_found(self, photographs, tmp_path):
        result = CliRunner().invoke(command, [str(photographs), "--output", str(tmp_path / "out")])
        assert result.exit_code == 0, result.output
        assert "0 pairs" in result.stdout
        assert "None were found" in (tmp_path / "out" / "leakage.html").read_text()

    def test_pairs_of_one_lesion_may_be_allowed(self, tmp_path):
        for seed, name in ((0, "a"), (1, "b")):
            photograph(seed).save(tmp_path / f"{name}.png")
        photograph(0).resize((120, 120)).save(tmp_path / "c.png")
        (tmp_path / "images.csv").write_text("image,label,group\na.png,nv,1\nb.png,nv,2\nc.png,nv,1\n")
        arguments = [str(tmp_path / "images.csv"), "--output", str(tmp_path / "out")]
        assert CliRunner().invoke(command, arguments).exit_code == FOUND
        assert CliRunner().invoke(command, [*arguments, "--allow-same-lesion"]).exit_code == 0

    def test_errors_are_not_the_status_of_pairs(self, photographs, tmp_path):
        result = CliRunner().invoke(command, [str(photographs), str(photographs), "--output", str(tmp_path / "out")])
        assert isinstance(result.exception, DermsslError)
        assert "named twice" in str(result.exception)
        with pytest.raises(DermsslError, match="--threshold 0: must be above 0"):
            leakage(photographs, threshold=0)


@pytest.mark.real_data
def test_identical_photographs_of_ham10000(real_data, tmp_path):
    """The three pairs that shared/data/README.md names, among 300 others."""
    import tarfile

    named = ("ISIC_0024366 ISIC_0029861", "ISIC_0024777 ISIC_0029938", "ISIC_0025226 ISIC_0030074")
    wanted = {name for pair in named for name in pair.split()}
    with tarfile.open(real_data / "ham10000_256.tar") as archive:
        members = [m for m in archive.getmembers() if m.name.endswith(".jpg")]
        chosen = members[:300] + [m for m in members[300:] if m.name.split("/")[-1][:-4] in wanted]
        archive.extractall(tmp_path / "images", members=chosen, filter="data")
    cache = prepare(tmp_path / "images", tmp_path / "cache", size=SIZE, progress=False)
    pairs = {(p.first.split("/")[-1][:-4], p.second.split("/")[-1][:-4]) for p in leakage(cache.path).pairs}
    assert {tuple(sorted(pair.split())) for pair in named} <= {tuple(sorted(pair)) for pair in pairs}
