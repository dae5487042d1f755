"""What pages and notebooks show as printed is what is printed; times alone may differ."""

from __future__ import annotations

import io
import json
import re
import shlex
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnnopt.cli.commands import commands
from bnnopt.network import fingerprint
from tests.exchange.keras_files import larq_network
from tests.pages import (
    BLOCK,
    CHANGES,
    NOTEBOOKS,
    PAGES,
    ROOT,
    blocks,
    commands_of,
    without_numbers,
    without_times,
)
from tools.notebook import code_cells, run

TRAINED = {
    "docs/tutorial.md": "604e7128263b015dff15d6844dac12b244cf8cd0a67a86e8f8b80fa080faf15d",
}
"""Pages that train, and the network that was trained where their outputs come from. Another
processor or torch may train another one, of which other numbers hold."""

LANGUAGES = {"python", "text", "console", "diff", "toml", "py", "ebnf"}
"""Of blocks; ``py`` is code of a program that is not here."""

CONSOLE = blocks("docs/index.md", "console")[0]
PICTURE = ROOT / "docs/figures/attack.png"
WITH_OUTPUT = [
    page
    for page in ["README.md", *PAGES]
    if any(shown for block in blocks(page, "console") for _, shown in commands_of(block))
]


def runs_here(page: str) -> bool:
    return bool(blocks(page)) and Path(page).stem not in CHANGES


@pytest.mark.parametrize("page", ["README.md", *filter(runs_here, PAGES)])
def test_the_code_of_a_page_prints_what_it_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if page == "docs/how-to/import-a-network.md":  # what its reader has from Keras
        (tmp_path / "binary.h5").write_bytes(larq_network().hdf5())
    namespace: dict[str, Any] = {"__name__": "page"}
    printed: list[str] = []
    shown: list[str] = []
    for kind, title, text in BLOCK.findall((ROOT / page).read_text()):
        if kind == "python" and not title:
            exec(compile(text, page, "exec"), namespace)
            printed.append(capsys.readouterr().out)
            shown.append("")
        elif kind == "text":
            shown[-1] = text
    said = [(a, b) for a, b in zip(printed, shown, strict=True) if b]
    if page in TRAINED and fingerprint(namespace["network"]) != TRAINED[page]:
        assert [without_numbers(a) for a, _ in said] == [without_numbers(b) for _, b in said]
        pytest.skip("another network is trained here: its numbers are not compared")
    for really, claimed in said:
        assert without_times(really) == without_times(claimed)


@pytest.mark.parametrize("page", WITH_OUTPUT)
def test_the_commands_of_a_page_print_what_it_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "console"):
        for line, shown in commands_of(block):
            if shown:
                program, *arguments = shlex.split(line, comments=True)
                assert program == "bnnopt", line
                commands.main(arguments, standalone_mode=False)
                assert without_times(capsys.readouterr().out) == without_times(shown)


def test_make_attack_is_what_readme_shows() -> None:
    found = re.search(r"^attack:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    recipe = shlex.split(found[1].replace("\\\n", " ").replace("$(BIN)/", ""))
    shown = [line for line, output in commands_of(blocks("README.md", "console")[0]) if output]
    assert [shlex.split(line) for line in shown] == [recipe]


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_no_page_shows_an_output_that_is_not_compared(page: str) -> None:
    kinds = {kind for kind, _, _ in BLOCK.findall((ROOT / page).read_text())}
    assert kinds <= LANGUAGES
    assert "text" not in kinds or runs_here(page)


def test_times_are_masked_and_nothing_else() -> None:
    table = "  broken    seconds\n--------  ---------\n    0.25        0.1\n\n2 attacks, 0.3 s\n"
    other = table.replace(" 0.1", "97.2").replace("0.3", "1.4")
    assert without_times(other) == without_times(table)
    assert without_times(table.replace("0.25", "0.26")) != without_times(table)
    assert without_times(table.replace("2 attacks", "3 attacks")) != without_times(table)
    assert without_numbers("image 81: 0.5\nimage 82: -3\n") == ["image #: #"]


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_a_notebook_has_the_outputs_that_running_it_gives(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / path).read_text()
    kept, again = json.loads(text), json.loads(text)
    monkeypatch.chdir(tmp_path)
    run(again)
    for before, after in zip(code_cells(kept), code_cells(again), strict=True):
        source = "".join(before["source"])
        assert before["execution_count"] == after["execution_count"], source
        old, new = ([*map(forms, cell["outputs"])] for cell in (before, after))
        assert [one.keys() for one in old] == [one.keys() for one in new], source
        for claimed, really in zip(old, new, strict=True):
            for kind, form in claimed.items():
                if kind == "image/png":
                    assert looks_like(*(picture(b64decode(p)) for p in (form, really[kind]))), (
                        source
                    )
                else:
                    assert without_cells_of_times(really[kind]) == without_cells_of_times(form)


def forms(output: dict[str, Any]) -> dict[str, str]:
    data = output.get("data", {"stream": output.get("text")})
    return {kind: "".join(form) for kind, form in data.items()}


def without_cells_of_times(text: str) -> list[list[str]]:
    """Of HTML too, where seconds are the last column."""
    if "<th>seconds</th></tr>" in text:
        text = re.sub(r"<td>\d+\.\d</td></tr>", "<td>#</td></tr>", text)
    return without_times(text)


def picture(content: bytes) -> Any:
    from matplotlib.image import imread

    return imread(io.BytesIO(content))


def looks_like(one: Any, other: Any) -> bool:
    """Of the same size and, but for the edges of letters, of the same colours."""
    return one.shape == other.shape and float(np.abs(one - other).mean()) < 0.02


def test_the_picture_of_the_landing_page_is_what_its_command_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (line, _), *_ = [pair for pair in commands_of(CONSOLE) if "--figure" in pair[0]]
    commands.main(shlex.split(line)[1:], standalone_mode=False)
    drawn, kept = (picture(path.read_bytes()) for path in (tmp_path / "attack.png", PICTURE))
    assert looks_like(drawn, kept)


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_a_notebook_is_small_and_names_no_folder_of_a_machine(path: str) -> None:
    text = (ROOT / path).read_text()
    assert len(text) < 300_000
    pictures_left_out = re.sub(r'"image/png": ".*?"', "", text)
    assert not re.search(r"/(home|tmp|root|Users|work)/", pictures_left_out)
