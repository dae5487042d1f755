"""Notebooks become pages as they are, and links to the source lead to where it came from."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which
from types import SimpleNamespace
from typing import Any

import pytest

from tools import site


def output(**data: str) -> dict[str, Any]:
    return {"output_type": "execute_result", "data": data}


def test_a_page_of_a_notebook_has_text_code_and_the_best_form_of_each_output() -> None:
    plain = {"text/plain": "<X>"}
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "words"]},
        {"cell_type": "code", "source": ["print(1)"], "outputs": [{"text": ["1\n"]}]},
        {"cell_type": "code", "source": ["x"], "outputs": [output(**plain)]},
        {
            "cell_type": "code",
            "source": ["y"],
            "outputs": [
                output(
                    **plain, **{"text/html": "<style>a\n\nb</style><table border=1>\n\n</table>"}
                )
            ],
        },
        {
            "cell_type": "code",
            "source": ["a\n", 'draw("<b>")'],
            "outputs": [output(**plain, **{"image/png": "aGE=\n"})],
        },
    ]
    assert site.markdown({"cells": cells}).split("\n\n") == [
        "# Title\nwords",
        "```python\nprint(1)\n```",
        "```text\n1\n```",
        "```python\nx\n```",
        "```text\n<X>\n```",
        "```python\ny\n```",
        '<div class="output"><table></table></div>',
        '```python\na\ndraw("<b>")\n```',
        '<p><img alt="draw(&quot;&lt;b&gt;&quot;)" src="data:image/png;base64,aGE="></p>\n',
    ]


@pytest.mark.skipif(which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ("https://example.org/we/ours.git", "the [source](https://example.org/we/ours)"),
        ("https://me:secret@example.org/we/ours.git", "the [source](https://example.org/we/ours)"),
        ("git@example.org:we/ours.git", "the [source](https://example.org/we/ours)"),
        ("ssh://git@example.org/we/ours", "the [source](https://example.org/we/ours)"),
        ("/somewhere/on/this/machine", "the source"),
        ("", "the source"),
    ],
)
def test_the_source_is_where_the_repository_was_cloned_from(
    origin: str, shown: str, tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    if origin:
        command = ["git", "-C", str(tmp_path), "remote", "add", "origin", origin]
        subprocess.run(command, check=True)
    config: Any = SimpleNamespace(docs_dir=str(tmp_path))
    nothing: Any = None
    text = "the [source](../README.md)"
    assert site.on_page_markdown(text, nothing, config, nothing) == shown
