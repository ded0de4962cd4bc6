"""Names on a page: the last part of a path, as many parts as tell it from the others."""

import pytest

from dermssl.reporting.names import spoken, told_apart


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/runs/r18", "r18"),
        ("/home/me/my runs/r 18/", "r 18"),
        ("~/runs/r18", "r18"),
        (r"C:\Users\me\runs\r18", "r18"),
        ("runs/r18", "runs/r18"),
        ("../r18", "../r18"),
        ("timm:resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("hf-hub:org/name@v1", "hf-hub:org/name@v1"),
        ("https://huggingface.co/org/name", "https://huggingface.co/org/name"),
        ("F1 / recall, 1/4 and/or mel / nv", "F1 / recall, 1/4 and/or mel / nv"),
        ("see /a/b.csv, (/c/d) and '~/e/f'.", "see b.csv, (d) and 'f'."),
        ("/", "/"),
        ("", ""),
        ("bell \x07", "bell \\x07"),
    ],
)
def test_a_path_is_spoken_by_its_last_part(text, shown):
    assert spoken(text) == shown


def test_names_are_told_apart():
    assert told_apart(["/a/b/run", "/a/c/run", "timm:x", "/d/e"]) == ["b/run", "c/run", "timm:x", "e"]
    assert told_apart(["/run", "/a/run"]) == ["run", "a/run"]
    assert told_apart(["/a/run", "/a/run"]) == ["run", "run"]
