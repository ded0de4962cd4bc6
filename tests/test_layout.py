"""What may import what, by the table in docs/architecture.md, and what the package shows."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import dermssl

PACKAGE = Path(dermssl.__file__).parent

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"  # the package may be an installed one


def table() -> tuple[set[str], dict[str, set[str]]]:
    """The page's table: the modules of the ground, and each room with the rooms it may import besides itself."""
    ground: set[str] = set()
    rooms: dict[str, set[str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ground |"):
            ground = set(re.findall("`(\\w+)`", line))
        elif ground and (row := re.fullmatch(r"\| `(\w+)` \|.*\| *(.*?) *\|", line)):
            named = set(re.findall("`(\\w+)`", row[2]))
            assert re.sub("`\\w+`|, ", "", row[2]).strip() in ("", "all above", "all above but"), line
            rooms[row[1]] = rooms.keys() - named if row[2].startswith("all above") else named
        elif rooms:
            break
    return ground, rooms


GROUND, ROOMS = table()
# Within the room that an image comes in by, the files have an order too: each may import those before it.
DATA_FLOORS = ("opener", "records", "cache_files", "cache", "layouts", "sources", "read", "fill", "prepare")


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of each module of the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(name: str) -> frozenset[str]:
    """The modules of the package that a module imports, wherever in its file."""
    found = set()
    for node in ast.walk(ast.parse(modules()[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{name} has a relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    # `dermssl` itself holds the version and names that are imported on first use: it is no way round the table
    return frozenset(found & modules().keys() - {name, "dermssl"})


def room(name: str) -> str:
    """``dermssl.data.layouts.found`` -> ``data``."""
    return name.split(".")[1]


@pytest.mark.parametrize("name", sorted(modules().keys() - {"dermssl", "dermssl.__main__"}))
def test_no_module_imports_upwards(name):
    allowed = GROUND if room(name) in GROUND else GROUND | ROOMS[room(name)] | {room(name)}
    upwards = {other for other in imports(name) if room(other) not in allowed}
    assert not upwards, f"{name} imports {sorted(upwards)}: see docs/architecture.md"


def test_no_module_is_in_a_circle():
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(imports(name)):
                visit(other, (*path, name))
            done.add(name)

    for name in modules():
        visit(name, ())


def test_the_data_room_has_floors():
    floor = {f"dermssl.data.{name}": number for number, name in enumerate(DATA_FLOORS)}
    for name in modules():
        own = next((number for prefix, number in floor.items() if f"{name}.".startswith(f"{prefix}.")), None)
        above = {
            other
            for other in imports(name)
            for prefix, number in floor.items()
            if own is not None and f"{other}.".startswith(f"{prefix}.") and number > own
        }
        assert not above, f"{name} imports {sorted(above)}"


def test_the_table_names_every_room_and_no_other():
    there = {room(name) for name in modules() if name not in ("dermssl", "dermssl.__main__")}
    assert there == ROOMS.keys() | GROUND
    for name, allowed in ROOMS.items():
        assert allowed <= ROOMS.keys() - {name}, name


def test_no_module_is_long():
    long = {name: lines for name, path in modules().items() if (lines := len(path.read_text().splitlines())) >= 350}
    assert not long


def test_public_names_exist():
    for name in dermssl.__all__:
        assert getattr(dermssl, name) is not None
    assert set(dir(dermssl)) == set(dermssl.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dermssl.no_such_name


def test_no_module_hides_a_public_name():
    """Importing dermssl.NAME would put the module in the place of the function."""
    modules = {path.stem for path in PACKAGE.iterdir() if not path.stem.startswith("_")}
    assert not modules & set(dermssl.__all__)


# Names that several rooms use for the same thing; every other name of a file stands for one thing in the whole package.
SHARED_NAMES = {"arguments", "names", "options", "page", "record", "registry", "report", "run", "tables"}


def test_the_name_of_a_file_stands_for_one_thing():
    places: dict[str, list[str]] = {}
    for name, path in sorted(modules().items()):
        if path.stem != "__init__" and room(name) != "cli":  # a command is named as the call that it makes
            places.setdefault(path.stem, []).append(name)
    several = {stem: names for stem, names in places.items() if len(names) > 1}
    assert several.keys() == SHARED_NAMES, several
