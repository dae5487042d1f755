"""The tool itself, and that its lists are about the code as it is."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.mutants import plan
from tests.mutants.edits import KINDS
from tests.mutants.mutations import Mutant, mutants_of
from tests.mutants.source import Source

EXAMPLE = '''"""Nothing here: 1 + 1 < 2."""
from __future__ import annotations

LIMIT: int = 1e-6  # - 3
NAMES = ("a", "b")


def f(x: list[int], most: int = 8) -> float:
    """Not 1 of these > 0."""
    if x and not (most  # a + b
                  > len(x)):
        return -abs(x[0])
    if most < 0:
        raise ValueError(f"{most + 1} < 0")
    log.warning("none", most + 1)
    total = sum(a for a in x if a >= 5)
    total += np.floor(
        most
    ) + min(x)
    return total
'''


def changes(text: str) -> list[tuple[str, str]]:
    return [(mutant.before, mutant.after) for mutant in mutants_of("f.py", text)]


def changed(text: str, mutant: Mutant) -> str:
    return Source(text).replaced(mutant.edit.start, mutant.edit.end, mutant.edit.text)


def test_every_comparison_sign_rounding_constant_and_early_end_is_changed() -> None:
    found = changes(EXAMPLE)
    for before, after in [
        ("LIMIT: int = 1e-6 # - 3", "LIMIT: int = 0.0 # - 3"),
        ("LIMIT: int = 1e-6 # - 3", "LIMIT: int = -1e-06 # - 3"),
        (
            "def f(x: list[int], most: int = 8) -> float:",
            "def f(x: list[int], most: int = 16) -> float:",
        ),
        ("if x and not (most # a + b", "if x or not (most # a + b"),
        ("if x and not (most # a + b > len(x)):", "if x and (most # a + b > len(x)):"),
        ("> len(x)):", ">= len(x)):"),
        ("return -abs(x[0])", "return (abs(x[0]))"),
        ("return -abs(x[0])", "return -(x[0])"),
        ("return -abs(x[0])", "return -abs(x[1])"),
        ("return -abs(x[0])", "pass"),
        ("if most < 0:", "if most <= 0:"),
        ("if most < 0:", "if (not (most < 0)):"),
        ("total = sum(a for a in x if a >= 5)", "total = sum(a for a in x if a > 5)"),
        ("total = sum(a for a in x if a >= 5)", "total = sum(a for a in x if a >= 10)"),
        ("total += np.floor(", "total -= np.floor("),
        ("total += np.floor(", "total += np.ceil("),
        (") + min(x)", ") - min(x)"),
        (") + min(x)", ") + max(x)"),
        ("total += np.floor( most ) + min(x)", "total += (min(x) )"),
        ("total += np.floor( most ) + min(x)", "pass"),
    ]:
        assert (before, after) in found


def test_words_types_and_complaints_stay_as_they_are() -> None:
    for before, after in changes(EXAMPLE):
        assert "raise" not in before
        assert "warning" not in before
        assert not before.startswith(("import", "from", '"""'))
        assert before.count('"') == after.count('"')


def test_mutants_are_programs_of_as_many_lines_that_differ_from_the_original() -> None:
    for code in plan.codes():
        text, mutants = code.text, code.mutants()
        assert len({mutant.name for mutant in mutants}) == len(mutants) > 0
        original = ast.dump(ast.parse(text))
        for mutant in mutants[:: max(len(mutants) // 8, 1)]:
            other = changed(text, mutant)
            assert other.count("\n") == text.count("\n")
            assert ast.dump(ast.parse(other)) != original


def test_the_name_of_a_mutant_hangs_on_its_function_and_line_only() -> None:
    before = {mutant.name for mutant in mutants_of("f.py", EXAMPLE)}
    after = {mutant.name for mutant in mutants_of("f.py", EXAMPLE.replace("NAMES", "\n\nN = 3\nN"))}
    assert before < after


def test_the_sample_has_all_files_and_kinds_and_is_large_enough() -> None:
    mutants = [mutant for code in plan.codes() for mutant in code.mutants()]
    sample = plan.fixed_sample(mutants)
    assert len(sample) >= 150
    assert plan.fixed_sample(mutants[::-1]) != []
    assert {mutant.name for mutant in plan.fixed_sample(mutants[::-1])} == {
        mutant.name for mutant in sample
    }
    assert {mutant.file for mutant in sample} == {code.path for code in plan.codes()}
    assert min(Counter(mutant.kind for mutant in sample)[kind] for kind in KINDS) >= 3


def test_every_entry_of_the_list_of_equivalent_mutants_speaks_of_the_code_as_it_is() -> None:
    mutants = [mutant for code in plan.codes() for mutant in code.mutants()]
    listed = plan.equivalents()
    assert plan.stale(listed, mutants) == []
    assert all(len(entry.reason) > 10 for entry in listed)


@pytest.mark.parametrize("code", plan.codes(), ids=lambda code: code.path)
def test_the_page_names_each_file_and_its_tests_exist(code: plan.Code) -> None:
    page = (plan.ROOT / "CONTRIBUTING.md").read_text()
    assert f"`{code.path.removeprefix('bnnopt/')}`" in page
    assert code.tests
    assert all((plan.ROOT / test).is_file() for test in code.tests)
    known = {mutant.function for mutant in plan.Code(code.path, ()).mutants()}
    assert set(code.only) <= known
