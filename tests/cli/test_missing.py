"""A command without its arguments says in one line which one is missing."""

import pytest
from click.testing import CliRunner

from dermssl.cli import COMMANDS, group

NEEDS_NOTHING = {"demo", "info"}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - NEEDS_NOTHING))
def test_a_command_without_arguments_names_the_first_that_is_missing(name):
    outcome = CliRunner().invoke(group, [name])
    assert outcome.exit_code == 2, outcome.output
    assert outcome.stderr.splitlines()[-1].startswith("Error: Missing ")
