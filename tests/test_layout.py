"""What may import what (DESIGN section 3), and what the package shows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dermssl

PACKAGE = Path(dermssl.__file__).parent

MAY_IMPORT = {
    "data": {"data"},
    "methods": {"methods"},
    "hub": {"hub", "methods"},
    "evaluation": {"evaluation", "data", "hub"},
    "reporting": {"reporting"},
    "pretraining": {"pretraining", "methods", "data", "evaluation", "hub"},
    "paper": {"paper", "pretraining", "methods", "data", "evaluation", "reporting", "hub"},
}
EVERYWHERE = {"errors", "files", "devices", "memory", "distributed"}


def imported_parts(path: Path) -> set[str]:
    """The parts of dermssl that a module imports, wherever in the file."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        parts |= {name.split(".")[1] for name in names if name.startswith("dermssl.")}
    return parts


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_no_part_imports_upwards(part):
    for path in (PACKAGE / part).rglob("*.py"):
        forbidden = imported_parts(path) - MAY_IMPORT[part] - EVERYWHERE
        assert not forbidden, f"{path.relative_to(PACKAGE)} imports {sorted(forbidden)}"


def test_every_part_is_covered():
    parts = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert parts == MAY_IMPORT.keys() | {"cli"}


def test_public_names_exist():
    for name in dermssl.__all__:
        assert getattr(dermssl, name) is not None
    assert set(dir(dermssl)) == set(dermssl.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dermssl.no_such_name


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from click.testing import CliRunner; from dermssl.cli import COMMANDS, group; "
        "r = CliRunner().invoke(group, ['-h']); assert r.exit_code == 0, r.output; "
        "assert all(name in r.output for name in COMMANDS), r.output; "
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_module_hides_a_public_name():
    """Importing dermssl.NAME would put the module in the place of the function."""
    modules = {path.stem for path in PACKAGE.iterdir() if not path.stem.startswith("_")}
    assert not modules & set(dermssl.__all__)
