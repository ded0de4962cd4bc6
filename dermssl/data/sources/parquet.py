"""Tables of images as the Hugging Face Hub keeps them: parquet files with a column of ``{bytes, path}``."""

import threading
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any

from dermssl.data.formats import UnreadableImage
from dermssl.data.layouts.names import is_image
from dermssl.data.records import Kind, Problem
from dermssl.data.sources.container import Container, Contents, Member, damage_said
from dermssl.data.sources.extras import extra
from dermssl.data.sources.names import clean
from dermssl.data.sources.tables import IDS, as_csv, label_column, split_of_file, with_label
from dermssl.documents import fault_of, parse_json
from dermssl.errors import DermsslError

_KEPT = 2  # row groups in memory; images are asked for in their order, by a few threads
_NUMBER = "number of the row"  # stands for the columns of a table that has none besides the images
_NAMES = ("image", "img", "picture", "photo", "pixels")


class ParquetTables(Container):
    """Parquet files of one data set, read a row group at a time."""

    def __init__(self, path: Path, files: tuple[Path, ...] = ()) -> None:
        super().__init__(path, files)
        self._parquet = extra("pyarrow.parquet", str(path))
        self._arrow = extra("pyarrow", str(path))
        self._lock = threading.Lock()
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._open: dict[int, Any] = {}
        with damage_said(path, self._arrow.ArrowException, ValueError):
            self._columns = [self._image_column(number) for number in range(len(self.files))]

    def contents(self) -> Contents:
        found, rows = Contents(), []
        seen_names: set[str] = set()
        for number, file in enumerate(self.files):
            with damage_said(file, self._arrow.ArrowException, ValueError):
                table, paths, classes = self._rows(number)
            found.problems += self._left_out(number)
            split = split_of_file(file, self.path)
            inside = file.relative_to(self.path) if file.is_relative_to(self.path) else Path()
            own_name = "-".join((*inside.parent.parts, file.stem))  # of train/0000.parquet and test/0000.parquet
            id_column = next((name for name in IDS if name in table.column_names), None)
            label = label_column(table.column_names, list(classes))
            called = [_name_of(path, whole=label is None) for path in paths]
            for row, (cells, base) in enumerate(zip(table.to_pylist(), called, strict=True)):
                cells = {name: value for name, value in cells.items() if name != _NUMBER}
                for name, names in classes.items():
                    value = cells[name]
                    cells[name] = names[value] if isinstance(value, int) and 0 <= value < len(names) else None
                own = clean(str(cells[id_column])) if id_column and cells[id_column] not in (None, "") else None
                image = own or base or f"{own_name}-{row:07d}"
                if image in seen_names and own is None:
                    place = PurePosixPath(image)
                    image = place.with_name(f"{own_name}-{row:07d}-{place.name}").as_posix()
                if image in seen_names:
                    found.problems.append(
                        Problem(image, f"a second row of this {id_column}: the first is used", Kind.REPEATED_ROW)
                    )
                    continue
                seen_names.add(image)
                stub = image if is_image(image) else f"{image}.jpg"
                found.images[stub] = Member((number, row))
                cells = with_label(cells, label)
                cells |= {"split": split} if split and "split" not in cells else {}
                rows.append(cells if own else {**cells, "image": stub})
        found.tables["table.csv"] = as_csv(rows)
        return found

    def read(self, key: object) -> bytes:
        assert isinstance(key, tuple)
        number, row = key
        try:
            value = self._group(number, row)
        except (self._arrow.ArrowException, OSError, ValueError) as error:
            raise UnreadableImage(f"damaged in {self.files[number].name}: {error}") from error
        if not value:
            raise UnreadableImage("the table has no bytes for this image")
        return bytes(value)

    def _group(self, number: int, row: int) -> bytes | None:
        with self._lock:  # a parquet file is read by one thread at a time
            file = self._file(number)
            group, first = 0, 0
            while row - first >= file.metadata.row_group(group).num_rows:
                first += file.metadata.row_group(group).num_rows
                group += 1
            if (number, group) not in self._groups:
                column, field = self._columns[number]
                table = file.read_row_group(group, columns=[f"{column}.{field}" if field else column])
                array = table.column(0).combine_chunks()
                self._groups[number, group] = array.field(field) if field else array
                while len(self._groups) > _KEPT:
                    self._groups.popitem(last=False)
            self._groups.move_to_end((number, group))
            return self._groups[number, group][row - first].as_py()

    def _file(self, number: int) -> Any:
        if number not in self._open:
            self._open[number] = self._parquet.ParquetFile(self.files[number])
        return self._open[number]

    def _image_column(self, number: int) -> tuple[str, str]:
        """The column that holds the images, and the field of it with their bytes ("" where it is bytes itself)."""
        schema, types = self._file(number).schema_arrow, self._arrow.types
        found = {}
        for name, kind in zip(schema.names, schema.types, strict=True):
            if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
                found[name] = "bytes"
            elif types.is_binary(kind) or types.is_large_binary(kind):
                found[name] = ""
        name = next((name for name in (*_NAMES, *found) if name in found), None)
        if name is None:
            raise DermsslError(
                f"{self.files[number]}: no column of images (bytes, or bytes and path as on the Hub); it has "
                f"{', '.join(schema.names)}"
            )
        return name, found[name]

    def _left_out(self, number: int) -> list[Problem]:
        """What is said of columns of further images, and of lists and the like."""
        schema, types = self._file(number).schema_arrow, self._arrow.types
        problems = []
        for name, kind in zip(schema.names, schema.types, strict=True):
            if name == self._columns[number][0]:
                continue
            reason = ""
            if types.is_binary(kind) or (types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
                reason = f"a second column of images beside {self._columns[number][0]!r}: left out"
            elif types.is_nested(kind):
                reason = f"a column of {kind}: left out; write one value for each image"
            if reason:
                problems.append(Problem(f"{self.files[number].name}/{name}", reason, Kind.LEFT_OUT))
        return problems

    def _rows(self, number: int) -> tuple[Any, list[str | None], dict[str, list[str]]]:
        """The columns besides the images, the images' paths, and the names of the columns that are classes."""
        file, types = self._file(number), self._arrow.types
        image, field = self._columns[number]
        schema = file.schema_arrow
        plain = [
            name
            for name, kind in zip(schema.names, schema.types, strict=True)
            if not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))
        ]
        table = file.read(columns=plain) if plain else self._arrow.table({_NUMBER: range(file.metadata.num_rows)})
        paths: list[str | None] = [None] * table.num_rows
        kind = schema.field(image).type
        if field and kind.get_field_index("path") >= 0:
            column = file.read(columns=[f"{image}.path"]).column(0).combine_chunks()
            paths = column.field("path").to_pylist()
        declared = parse_json(
            (schema.metadata or {}).get(b"huggingface", b"{}"), f"{self.files[number]}: huggingface", "its columns",
            {"info?": {"features?": {str: object}}}, remedy="download it again",
        )  # fmt: skip
        features = declared.get("info", {}).get("features", {})
        classes = {
            name: feature["names"]
            for name, feature in features.items()
            if fault_of(feature, {"_type": str, "names": [str]}) is None and feature["_type"] == "ClassLabel"
            if name in plain and feature["names"]
        }
        return table, paths, classes


def _name_of(path: str | None, whole: bool) -> str | None:
    """The name of an image by the path that a table gives it; with its folders where these may be the classes."""
    if not path:
        return None
    path = path.replace("\\", "/")
    return (clean(path) if whole else None) or clean(PurePosixPath(path).name)
