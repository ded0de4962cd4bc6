"""What is handed on names no folder of this machine."""

import pytest

from dermssl.privacy import without_folders


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/me/a.png cannot be read: No such file", "a.png cannot be read: No such file"),
        ("no room for /mnt/disk/x: free some", "no room for x: free some"),
        ('  File "/usr/lib/python3/site-packages/torch/nn.py", line 3', '  File "nn.py", line 3'),
        ("--output C:\\Users\\me\\out: is a file", "--output out: is a file"),
        ("/work/my data/set of/a b.png: damaged, not /work/my", "a b.png: damaged, not my"),
        ("accuracy and/or 1/2, https://a.org/b/c, hf-hub:a/b", "accuracy and/or 1/2, https://a.org/b/c, hf-hub:a/b"),
        ("/work/my data", "my data"),
        ("/work/my database", "my database"),
    ],
)
def test_a_message_names_no_folder(text, left):
    assert without_folders(text, "/work/my data", "/work/my data/set of") == left
