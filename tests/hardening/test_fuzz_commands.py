"""Whatever is typed: a documented exit code, one line of complaint, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.cli import main
from bnnopt.cli.commands import commands
from bnnopt.cli.completion import OFFERS
from tests.hardening.conftest import tiny_network

CODES = (0, 1, 2, 130)
KNOWN = """
n.npz bad.npz spec.toml none folder folder/out.json mnist x.png x.lp x.csv /dev/full - --
0 1 -1 0:2 5:1 9999: ٣ 0.01 1e400 nan -inf 1_0 99999999999999999999
highs cbc fgsm bab milp pattern paper untargeted pixels darken l0,linf margin+0.5*l1 margin+ flip
0:28,0:28 4:2, --help
"""
WORDS = st.one_of(
    st.sampled_from([*KNOWN.split(), "", "a" * 300, "no\udcff"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)
SPEC = 'networks = ["n.npz"]\nimages = "0"\nepsilons = [0.0]\n[[methods]]\nmethod = "milp"\n'


def tree(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command's words."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from tree(below, (*path, name))


def found(path: tuple[str, ...]) -> click.Command:
    command: click.Command = commands
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


ENDINGS = {
    ("attack",): ["--images", "0", "--time-limit", "1", "--workers", "1"],
    ("verify",): ["--images", "0", "--time-limit", "1"],
    ("train",): ["--depth", "0", "--workers", "0"],  # trains nothing
    ("data", "fetch"): ["none"],  # fetches nothing
    ("campaign", "run"): ["--dry-run"],
}
"""What keeps the work small, whatever comes before."""


def fitting(option: click.Option) -> st.SearchStrategy[str]:
    """Words that an option takes."""
    offered = tuple(OFFERS.get(option.name or "", tuple)())
    plain = {"json_file": "out.json", "figure": "x.png", "region": "0:9,0:9", "goal": "flip"}
    return st.sampled_from(offered or (plain.get(option.name or "", "1"),))


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command, mostly with what it must have, then options of its own and any words."""
    path = draw(st.sampled_from(list(tree(commands))))
    parameters = found(path).params
    words = [*path]
    if any(isinstance(p, click.Argument) for p in parameters) and draw(st.integers(0, 9)):
        words.append("spec.toml" if path == ("campaign", "run") else "n.npz")
    options = [p for p in parameters if isinstance(p, click.Option)]
    for _ in range(draw(st.integers(0, 4))):
        if options and draw(st.integers(0, 7)):
            option = draw(st.sampled_from(options))
            words.append(draw(st.sampled_from(option.opts)))
            if draw(st.integers(0, 3)):  # what it takes, rather than any word
                words += [] if option.is_flag else [draw(fitting(option))]
                continue
        words.append(draw(WORDS))
    return words + ENDINGS.get(path, [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a network, a broken one, a spec and a folder."""
    folder = tmp_path_factory.mktemp("commands")
    tiny_network().save(folder / "n.npz")
    (folder / "bad.npz").write_bytes(b"PK\3\4 nothing")
    (folder / "spec.toml").write_text(SPEC)
    (folder / "folder").mkdir()
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@given(line=lines())
@settings(max_examples=250)
def test_any_command_line_ends_with_a_documented_code(folder: Path, line: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bnnopt", *line])
        redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with redirected[0], redirected[1], pytest.raises(SystemExit) as stopped:
            main()
    code = stopped.value.code or 0
    assert code in CODES
    if code == 2 and err.getvalue():
        (complaint,) = err.getvalue().strip().splitlines()
        assert complaint.startswith("bnnopt: ")
