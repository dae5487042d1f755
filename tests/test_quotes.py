"""Numbers in pages are those of the results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.quotes import DOCS, filled, has_quotes, unquoted
from bnnopt.errors import InputError

ROWS = [{"claim": "lead", "value": 0.1234, "holds": "yes"}, {"claim": "pass", "value": None}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "grid-claims.json").write_text(json.dumps({"summary": ROWS}))
    return tmp_path


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_a_page_that_quotes_has_no_other_numbers_and_those_of_the_results(path: Path) -> None:
    text = path.read_text()
    assert filled(text) == text
    if has_quotes(text):
        assert not unquoted(text)


def test_a_quote_is_filled_in_by_name(folder: Path) -> None:
    page = (
        "Ahead by <!--= grid-claims lead value 2 -->9<!--/-->: "
        "<!--= grid-claims lead holds --><!--/-->; passes <!--= grid-claims pass value 1 -->"
        "3\n<!--/-->."
    )
    written = filled(page, folder)
    assert "value 2 -->0.12<!--/-->" in written
    assert "holds -->yes<!--/-->" in written
    assert "value 1 -->never<!--/-->." in written
    assert filled(written, folder) == written


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("grid-none lead value", "no such file"),
        ("grid-claims none value", "no row 'none'"),
        ("grid-claims lead none", "not 'none'"),
    ],
)
def test_a_quote_of_nothing_is_an_error(name: str, complaint: str, folder: Path) -> None:
    with pytest.raises(InputError, match=complaint):
        filled(f"<!--= {name} -->1<!--/-->", folder)


def test_a_number_outside_quotes_is_found() -> None:
    quote = "<!--= grid-claims lead value -->0.12<!--/-->"
    free = "**27 s, always**, `mnist-2x100`, 2x200 at 0.01, Figures 2 to 6, (4), [3](page4.md)"
    assert not unquoted(f"{quote}: {free}\n\n```console\n$ run 7\n```\n")
    assert unquoted(f"{quote}, 12 of 20 images, 0.124, 8 %") == ["12", "20", "0.124", "8"]


def test_a_quote_that_is_shown_as_an_example_takes_nothing_with_it(folder: Path) -> None:
    page = "As in `<!--= grid-none lead value -->`: <!--= grid-claims lead holds --><!--/-->"
    assert filled(page, folder) == page.replace("<!--/-->", "yes<!--/-->")


def test_only_quotes_make_a_page_one_that_quotes() -> None:
    assert has_quotes("<!--= a b c -->1<!--/-->") and not has_quotes("<!-- a --> 1")
