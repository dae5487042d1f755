"""A shell asks the program what may follow."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from bnnopt import zoo
from bnnopt.attacks import METHODS
from bnnopt.cli.commands import commands
from bnnopt.cli.completion import OFFERS

HEAVY = ("torch", "pyomo", "numba", "matplotlib", "pandas", "scipy", "requests")


def offered(line: str) -> list[str]:
    """What bash is told for a line, with the cursor at its end."""
    words = line.split(" ")
    asked = {"_BNNOPT_COMPLETE": "bash_complete", "COMP_WORDS": line}
    code = "import sys; sys.argv = ['bnnopt']; from bnnopt.cli import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | asked | {"COMP_CWORD": str(len(words) - 1)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    return run.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bnnopt attack fashion", [f"plain,{n}" for n in zoo.NAMES if n.startswith("fashion")]),
        ("bnnopt attack ./my", ["file,./my"]),
        ("bnnopt verify x --solver ", ["plain,cbc", "plain,gurobi", "plain,highs", "plain,scip"]),
        ("bnnopt attack x --start ", ["plain,none", *(f"plain,{m}" for m in METHODS)]),
        ("bnnopt data where f", ["plain,fashion-mnist"]),
        ("bnnopt campaign run sp", ["file,sp"]),
        ("bnnopt nonsense ex", ["plain,export"]),
    ],
)
def test_a_shell_is_offered_what_may_follow(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_every_offer_is_for_a_parameter_that_exists() -> None:
    below = [*commands.commands.values(), *commands.commands["campaign"].commands.values()]
    below += commands.commands["data"].commands.values()
    assert set(OFFERS) <= {parameter.name for command in below for parameter in command.params}


def test_every_registered_solver_is_offered() -> None:
    import solvers

    assert sorted(entry_points(group="bnnopt.solvers").names) == solvers.names()


@pytest.mark.parametrize("command", ["--version", "--help", "networks", "attack --help"])
def test_commands_that_only_list_import_nothing_heavy(command: str) -> None:
    code = (
        f"import sys; sys.argv = ['bnnopt', *{command.split()!r}]\n"
        "from bnnopt.cli import main\n"
        "try:\n    main()\n"
        f"except SystemExit:\n    print([n for n in {HEAVY!r} if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
