"""What is handed on names no folder of this machine."""

import pytest

from dermssl.privacy import masked, spoken, told_apart, without_folders


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/me/a.png cannot be read: No such file", "a.png cannot be read: No such file"),
        ("no room for /mnt/disk/x: free some", "no room for x: free some"),
        ('  File "/usr/lib/python3/site-packages/torch/nn.py", line 3', '  File "nn.py", line 3'),
        ("--output C:\\Users\\me\\out: is a file", "--output out: is a file"),
        ("/home/me/my data/set of/a b.png: damaged, not /home/me/my", "a b.png: damaged, not my"),
        ("accuracy and/or 1/2, https://a.org/b/c, hf-hub:a/b", "accuracy and/or 1/2, https://a.org/b/c, hf-hub:a/b"),
        ("/home/me/my data", "my data"),
        ("/home/me/my database", "my database"),
    ],
)
def test_a_message_names_no_folder(text, left):
    assert without_folders(text, "/home/me/my data", "/home/me/my data/set of") == left


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no connection to http://me:pass@word@hub:80/a@b", "no connection to http://***@hub:80/a@b"),
        ("Authorization: Bearer abc, Basic bWU6cGFzcw==", "Authorization: Bearer *** Basic ***"),
        ("hf_AbC123, sesame", "***, ***"),
    ],
)
def test_secrets_are_masked(text, shown):
    assert masked(text, "sesame", None) == shown


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
