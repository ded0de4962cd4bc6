"""JSON files of ours: one is read, or one error says which it is, what is wrong and what to do."""

import errno
import json
import os
import re
from pathlib import Path

import pytest

import dermssl
from dermssl import DermsslError, documents
from dermssl.documents import DamagedDocument, MissingDocument, fault_of, read_json, read_json_lines

SCHEMA = {"size": int, "names": [str], "share": float, "more?": {str: (int, None)}, "ends?": [int, int]}
GOOD = {"size": 3, "names": ["a", "b"], "share": 1, "other": {}}


def read(path):
    return read_json(path, "the plan", SCHEMA, remedy="make it again")


def test_what_fits_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    assert read(tmp_path / "a.json") == GOOD
    (tmp_path / "a.json").write_text(json.dumps(GOOD), encoding="utf-8-sig")
    assert read(tmp_path / "a.json") == GOOD


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not text in UTF-8"),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deeply"),
        (b"[" * 500 + b"]" * 500, "nested too deeply"),
        (b"1" * 10_000, "digits"),
        (b"1" * 30, "a number has 30 digits"),
        (b'{"size": 3, "names": [], "share": NaN}', "a number is nan"),
        (b'{"size": 3, "names": [], "share": 1, "other": [{"a": -1e999}]}', "a number is -inf"),
        (b'{"size": 3, "names": [], "share": 1, "size": 4}', '"size" is there twice'),
        (b'{"size": 3, "names": [], "share": 1, "other": {"a": 1, "a": 1}}', '"a" is there twice'),
        ('{"size": 3, "names": []}'.encode("utf-16"), "not text in UTF-8"),
        ('{"size": 3, "names": ["\u00e9'.encode()[:-1], "not text in UTF-8"),
        (b'{"size": 3, "names": ["a\\u0000"], "share": 1}', "NUL"),
        (b'{"size": 3, "names": ["a\\ud800"], "share": 1}', "surrogate"),
        (b'{"size": 3, "names": [], "share": 1, "\\udfff": 1}', "surrogate"),
        (b"[]", "it is a list, where an object is expected"),
        (b"null", "it is null, where an object is expected"),
        (b'{"size": "3", "names": [], "share": 1}', 'size is "3", where a whole number is expected'),
        (b'{"size": true, "names": [], "share": 1}', "size is true"),
        (b'{"size": 3.5, "names": [], "share": 1}', "size is 3.5"),
        (b'{"size": 3, "names": [], "share": "x"}', "where a number is expected"),
        (b'{"size": 3, "names": "a", "share": 1}', 'names is "a", where a list is expected'),
        (b'{"size": 3, "names": ["a", 1], "share": 1}', r"names\[1\] is 1, where a text"),
        (b'{"size": 3, "share": 1}', "no names"),
        (b'{"size": 3, "names": [], "share": 1, "ends": [1]}', "ends has 1 values, where 2 are expected"),
        (b'{"size": 3, "names": [], "share": 1, "more": {"x": "y"}}', "more.x is .y., where a whole number or null"),
    ],
)
def test_what_does_not_is_one_error(tmp_path, content, fault):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DamagedDocument, match=rf"a\.json is damaged \(the plan: .*{fault}.*\); make it again"):
        read(tmp_path / "a.json")


def test_what_the_system_says_is_not_damage(tmp_path, monkeypatch):
    with pytest.raises(MissingDocument, match=r"a\.json: there is no such file"):
        read(tmp_path / "a.json")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DermsslError, match=r"fifo cannot be read \(the plan\): is a FIFO, not a file; make it again"):
        read(tmp_path / "fifo")
    for code, remedy in ((errno.EACCES, "permission"), (errno.EMFILE, "ulimit -n"), (errno.ENOMEM, "close other")):

        def refuse(*args, code=code):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(documents, "read_regular", refuse)
        with pytest.raises(DermsslError, match=f"cannot be read .*{os.strerror(code)}; .*{remedy}") as caught:
            read(tmp_path / "a.json")
        assert not isinstance(caught.value, DamagedDocument)


def test_one_bad_line_does_not_spoil_the_others(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b'{"epoch": 1}\n{"epoch": "x"}\n\n' + b"[" * 100_000 + b'\n{"epoch": 2}\n{"epoch": 3')
    lines = read_json_lines(path, "the history", {"epoch": int}, remedy="delete the line")
    assert [line for line in lines if not isinstance(line, DamagedDocument)] == [{"epoch": 1}, {"epoch": 2}]
    faults = [str(line) for line in lines if isinstance(line, DamagedDocument)]
    assert len(faults) == 3
    assert faults[0].startswith(f"{path}, line 2, is damaged (the history: epoch is")
    path.write_bytes(b"")
    assert read_json_lines(path, "the history", remedy="") == []


def test_any_schema_takes_any_value_without_a_traceback():
    values = [None, True, 1, 1.5, "x", [], [1], {}, {"a": 1}, {"a": {"b": []}}]
    schemas = [object, None, int, float, str, bool, list, dict, [int], {"a": int}, {str: int}, (int, None), [[str]]]
    for value in values:
        for schema in schemas:
            assert (
                fault_of(value, schema) is None
                or "expected" in fault_of(value, schema)
                or "no a" in fault_of(value, schema)
            )


# JSON of strangers, where a field that is there twice or a NaN must cost no label; our own words on a command line.
OTHERS = {"data/sources/shards.py", "backbones/timm_check.py"}
TO_BE_MENDED = {"hub/evaluations.py", "hub/record.py", "hub/verify.py"}


def test_json_is_read_in_one_place():
    """A bare ``json.loads`` has an error of its own for each of a dozen kinds of damage."""
    package = Path(dermssl.__file__).parent
    bare = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\bjson\.loads?\(", path.read_text(encoding="utf-8"))
    }
    assert bare - TO_BE_MENDED == OTHERS | {"documents.py"}
