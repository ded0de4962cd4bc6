"""Decoding: against plain PIL, and every odd file one may meet."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from dermssl.data import decode as module
from dermssl.data.decode import decode, decode_whole, read_bytes
from dermssl.data.formats import UnreadableImage
from dermssl.data.odd import looks_cut_short
from dermssl.data.prepare import prepare
from dermssl.data.records import Kind


def picture(width=150, height=110, seed=0) -> Image.Image:
    """A smooth colourful picture without symmetry, so that a wrong turn shows."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    channels = [np.sin(3 * x + seed) + y, x * y * 2, np.cos(5 * y) + 0.3 * x]
    array = np.stack([(c - c.min()) / (c.max() - c.min()) for c in channels], axis=-1)
    return Image.fromarray((array * 255).astype(np.uint8))


def encoded(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def distance(a, b) -> float:
    return float(np.abs(a.astype(int) - np.asarray(b).astype(int)).mean())


def test_squash_is_pils_antialiased_bicubic():
    image = picture()
    expected = np.asarray(image.resize((40, 40), Image.Resampling.BICUBIC))
    square = decode(encoded(image, "PNG"), 40)
    assert square.shape == (40, 40, 3)
    assert square.dtype == np.uint8
    assert distance(square, expected) < 0.5  # reducing_gap averages blocks first


@pytest.mark.parametrize("size", [(150, 110), (110, 150), (97, 97)])
def test_crop_keeps_the_middle_square(size):
    image = picture(*size)
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    expected = image.crop((left, top, left + side, top + side)).resize((32, 32), Image.Resampling.BICUBIC)
    assert distance(decode(encoded(image, "PNG"), 32, "crop"), expected) < 0.6


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_jpeg_scaled_while_decoding_equals_a_full_decode(fit):
    image = picture(1200, 900)
    data = encoded(image, "JPEG", quality=95)
    full = decode(encoded(Image.open(io.BytesIO(data)), "PNG"), 64, fit)
    assert distance(decode(data, 64, fit), full) < 1.0


def test_resizing_averages_instead_of_skipping_pixels():
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    for format in ("PNG", "JPEG"):
        square = decode(encoded(Image.fromarray(stripes), format), 40)
        assert np.abs(square.astype(int) - 127).max() < 25


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_every_exif_orientation_shows_the_same_picture(orientation, fit):
    upright = picture()
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> PIL transpose that stores it so
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decode(encoded(stored, "PNG", exif=exif), 48, fit)
    assert distance(turned, decode(encoded(upright, "PNG"), 48, fit)) < 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format", "options"),
    [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PNG", {}), ("JPEG", {}), ("WEBP", {})],
)
# the larger JPEG is scaled while decoding
@pytest.mark.parametrize("size", [(90, 60), pytest.param((1200, 900), marks=pytest.mark.slow)])
def test_every_format_is_turned_upright_once(orientation, format, options, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(*size), format, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
    np.testing.assert_array_equal(decode_whole(data), np.asarray(upright))
    small = upright.resize((48, 48), Image.Resampling.BICUBIC)
    assert distance(decode(data, 48), small) < 1.0


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_picture():
    data = encoded(picture(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode(data, 16).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("convert", "format", "tolerance"),
    [
        (lambda i: i, "BMP", 0.0),
        (lambda i: i, "TIFF", 0.0),
        (lambda i: i, "WEBP", 6.0),
        (lambda i: i, "GIF", 12.0),
        (lambda i: i.convert("CMYK"), "JPEG", 4.0),
        (lambda i: i.convert("CMYK"), "TIFF", 1.0),
        (lambda i: i.quantize(256), "PNG", 12.0),
        (lambda i: i.convert("RGBA"), "PNG", 0.0),
    ],
)
def test_other_formats_and_modes_show_the_same_colours(convert, format, tolerance):
    expected = decode(encoded(picture(), "PNG"), 32)
    assert distance(decode(encoded(convert(picture()), format), 32), expected) <= tolerance


def test_grey_in_8_and_16_bits_and_float():
    grey = np.asarray(picture().convert("L"))
    expected = decode(encoded(Image.fromarray(grey), "PNG"), 32)
    assert (expected[..., 0] == expected[..., 1]).all()
    sixteen = Image.fromarray(grey.astype(np.uint16) * 257)
    assert distance(decode(encoded(sixteen, "PNG"), 32), expected) < 1
    assert distance(decode(encoded(Image.fromarray(grey.astype(np.float32) / 255), "TIFF"), 32), expected) < 1
    assert distance(decode(encoded(Image.fromarray(grey > 127), "PNG"), 32), expected) < 128  # 1 bit


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("factor", [1, 16, 257])
def test_grey_of_8_and_12_bits_in_16_is_not_black(factor, format):
    grey = np.asarray(picture().convert("L")).copy()
    grey[0, 0] = 255
    expected = decode(encoded(Image.fromarray(grey), "PNG"), 32)
    assert distance(decode(encoded(Image.fromarray(grey.astype(np.uint16) * factor), format), 32), expected) < 1


def tiff16(pixels: np.ndarray, photometric: int, planes: int = 1) -> bytes:
    """A TIFF of 16 bits without compression, which PIL does not write; (H, W, C) of 0 to 65535."""
    height, width, channels = pixels.shape
    data = (pixels.transpose(2, 0, 1) if planes == 2 else pixels).astype("<u2").tobytes()
    size = len(data) // (channels if planes == 2 else 1)
    tags = [(256, [width]), (257, [height]), (258, [16] * channels), (259, [1]), (262, [photometric])]
    tags += [(273, [8 + i * size for i in range(len(data) // size)]), (277, [channels]), (278, [height])]
    tags += [(279, [size] * (len(data) // size)), (284, [planes])]
    start, extra, entries = 8 + len(data), b"", b""
    for tag, values in tags:
        raw = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            place = start + 2 + 12 * len(tags) + 4 + len(extra)
            extra, raw = extra + raw, struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, 4, len(values)) + raw
    head = b"II*\0" + struct.pack("<I", start)
    return head + data + struct.pack("<H", len(tags)) + entries + bytes(4) + extra


def test_tiffs_of_16_bits_that_pil_reads_wrongly():
    colours = np.asarray(picture()).astype(np.uint16)
    expected = decode(encoded(picture(), "PNG"), 32)
    assert distance(decode(tiff16(colours * 257, photometric=2), 32), expected) < 1
    with pytest.raises(UnreadableImage, match="16 bits with a plane for each colour"):
        decode(tiff16(colours * 257, photometric=2, planes=2), 32)
    grey = np.asarray(picture().convert("L")).astype(np.uint16)[:, :, None]
    expected = decode(encoded(picture().convert("L"), "PNG"), 32)
    assert distance(decode(tiff16(grey * 257, photometric=1), 32), expected) < 1
    assert distance(decode(tiff16((255 - grey) * 257, photometric=0), 32), expected) < 1  # white is 0


def test_float_grey_of_any_range_is_not_white():
    grey = np.asarray(picture().convert("L")).astype(np.float32)
    expected = decode(encoded(Image.fromarray(grey.astype(np.uint8)), "PNG"), 32)
    for factor in (1 / 255, 1, 257):
        assert distance(decode(encoded(Image.fromarray(grey * factor), "TIFF"), 32), expected) < 1
    grey[0], grey[1] = np.nan, np.inf
    assert decode(encoded(Image.fromarray(grey), "TIFF"), 32)[16:].mean() == pytest.approx(expected[16:].mean(), abs=2)


def test_transparent_parts_become_black():
    image = Image.new("RGBA", (20, 20), (200, 100, 50, 0))
    image.paste((200, 100, 50, 255), (0, 0, 10, 20))
    square = decode(encoded(image, "PNG"), 20)
    assert square[10, 2].tolist() == [200, 100, 50]
    assert square[10, 17].tolist() == [0, 0, 0]


def test_one_pixel_becomes_a_plain_square():
    assert np.unique(decode(encoded(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"), 8)).tolist() == [7, 8, 9]


def test_the_format_is_found_by_content(tmp_path):
    (tmp_path / "liar.jpg").write_bytes(encoded(picture(), "PNG"))
    assert distance(decode(read_bytes(tmp_path / "liar.jpg"), 24), decode(encoded(picture(), "PNG"), 24)) == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"hello, I am no image", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),  # would start Ghostscript
        (encoded(picture(), "JPEG")[:-900], "truncated"),
        (encoded(picture(), "JPEG")[:60], "cannot be decoded|not an image"),
        (encoded(picture(), "PNG")[:-500], "cannot be decoded"),
    ],
)
def test_broken_files_are_unreadable_with_a_reason(data, reason):
    with pytest.raises(UnreadableImage, match=reason):
        decode(data, 16)


def test_missing_and_empty_files_are_unreadable(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(UnreadableImage, match="empty file"):
        decode(read_bytes(tmp_path / "empty.jpg"), 16)
    with pytest.raises(UnreadableImage, match="No such file"):
        decode(read_bytes(tmp_path / "missing.jpg"), 16)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", 10_000)
    with pytest.raises(UnreadableImage, match="150 x 110 pixels, more than 10,000"):
        decode(encoded(picture(), "PNG"), 16)
    bomb = encoded(Image.new("1", (15_000, 12_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(UnreadableImage, match="bomb"):
        decode(bomb, 16)


@pytest.mark.real_data
def test_the_odd_originals(real_data):
    folder = real_data / "originals" / "odd"
    expected = decode(read_bytes(folder / "rgb.png"), 128)
    for name in ("rgb.bmp", "rgb.tif", "png_inside.jpg"):
        assert distance(decode(read_bytes(folder / name), 128), expected) == 0, name
    for name in ("cmyk.jpg", "progressive.jpg", "palette.png", "rgb.webp", "UPPER.JPG"):
        assert distance(decode(read_bytes(folder / name), 128), expected) < 2, name
    for orientation in (3, 5, 6):
        assert distance(decode(read_bytes(folder / f"exif_orientation_{orientation}.jpg"), 128), expected) < 1
    assert distance(decode(read_bytes(folder / "grey16.png"), 128), decode(read_bytes(folder / "grey.jpg"), 128)) < 1
    with Image.open(folder / "rgba.png") as image:
        alpha = np.asarray(image.getchannel("A").resize((128, 128), Image.Resampling.BICUBIC)) / 255
    assert distance(decode(read_bytes(folder / "rgba.png"), 128), expected * alpha[..., None]) < 1.5  # over black
    for name in ("cut_header.jpg", "empty.jpg", "text.jpg", "truncated.jpg"):
        with pytest.raises(UnreadableImage):
            decode(read_bytes(folder / name), 128)


def test_whole_keeps_resolution_and_shape_and_turns_upright():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    np.testing.assert_array_equal(decode_whole(buffer.getvalue()), np.rot90(pixels, -1))
    with pytest.raises(UnreadableImage):
        decode_whole(b"no image")


def noisy(**options) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return noisy(exif=exif)


@pytest.mark.parametrize("data", [noisy(), turned(3), turned(6), turned(8)], ids=["upright", "180", "90", "270"])
def test_jpegs_that_lost_their_end_are_listed(data, tmp_path):
    """Without an end mark they cannot be decoded; with one, Pillow says nothing, and the rest of them is one colour."""
    (tmp_path / "in").mkdir()
    for name, content in (
        ("whole", data),
        ("cut", data[: len(data) // 2]),
        ("closed", data[: len(data) // 2] + b"\xff\xd9"),
    ):
        (tmp_path / "in" / f"{name}.jpg").write_bytes(content)
    cache = prepare(tmp_path / "in", tmp_path / "cache", size=64, max_bad=0.5, progress=False)
    kinds = {problem.path: problem.kind for problem in cache.problems}
    assert kinds == {"cut.jpg": Kind.UNREADABLE, "closed.jpg": Kind.CUT_SHORT}
    assert len(cache.images) == 2
    smaller = prepare(tmp_path / "cache", tmp_path / "smaller", size=32, progress=False)
    assert Kind.CUT_SHORT in {problem.kind for problem in smaller.problems}


def mask(format: str, white: int = 255, **options) -> bytes:
    inside = np.hypot(*np.mgrid[-60:60, -80:80]) < 40
    return encoded(Image.fromarray((inside * white).astype(np.uint8)), format, **options)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (mask("PNG"), "as a mask is"),
        (mask("JPEG", quality=75), "as a mask is"),
        (mask("PNG", white=1), "as a mask is"),  # the number of a class at each pixel
        (encoded(picture().convert("L"), "PNG"), ""),
        (
            encoded(picture(), "TIFF", save_all=True, append_images=[picture(seed=2)] * 2),
            "holds 3 pictures: the first is used",
        ),
        (encoded(picture(), "GIF", save_all=True, append_images=[picture(seed=2)]), "holds 2 pictures"),
        (encoded(picture(), "PNG", save_all=True, append_images=[picture(seed=2)]), "holds 2 pictures"),
        (encoded(picture(), "WEBP", save_all=True, append_images=[picture(seed=2)]), "holds 2 pictures"),
        (encoded(picture(), "MPO", save_all=True, append_images=[picture(seed=2)]), ""),  # a camera's preview
        (encoded(picture(), "BMP"), ""),
    ],
)
def test_masks_and_files_of_several_pictures_are_kept_and_listed(data, said, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(data)
    cache = prepare(tmp_path / "in", tmp_path / "cache", size=32, progress=False)
    assert len(cache.images) == 1
    assert [problem.path for problem in cache.problems] == ["a.png"] * bool(said)
    assert all(said in problem.reason for problem in cache.problems)


def bordered(colour: int, **sides: int) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for side, width in sides.items():
        part = {"top": pixels[:width], "bottom": pixels[64 - width :], "left": pixels[:, :width]}[side]
        part[:] = colour
    return pixels


@pytest.mark.parametrize(
    ("pixels", "cut"),
    [
        (bordered(128, bottom=8), True),
        (bordered(128, left=20), True),
        (bordered(128, bottom=7), False),
        (bordered(128, bottom=8, top=8), False),
        (bordered(0, bottom=20), False),
        (bordered(255, bottom=20), False),
        (bordered(128), False),
        (np.full((64, 64, 3), 128, np.uint8), False),
    ],
)
def test_what_looks_cut_short(pixels, cut):
    assert looks_cut_short(pixels) == cut
