"""Changed proofs: no file is accepted whose claim enumeration refutes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from bnnopt import BinarizedNetwork
from bnnopt.proof import check, tree
from tests.kinds import network_of
from tests.proof import cases

CHANGES = 10_000
FIELDS: dict[str, list[Any]] = {
    "epsilon": ["0", "1/100", "1/7", "1/5", "2/5", "1/2", "1", "-1/7", None],
    "domain": ["continuous", "pixels", "both"],
    "direction": ["both", "lighten", "darken"],
    "fixed": [[], [0], [1, 2], [-1]],
    "l1": [None, "0", "1/7", "1", "9"],
    "source": [0, 1, 2, -1, True],
    "targets": [[0], [1], [2], [0, 1], [1, 2], [0, 2], []],
    "ties": ["lowest", "never", "always"],
    "claim": ["margin", "robust", "flip"],
    "bound": [None, "-9", "-5", "-3", "-1", "0", "1", "3", "5", "9", "1/3"],
    "witness": [None, [], [[0, 0]], [[0, 1048576]], [[1, 0.5]], [[0, 1], [1, 2]]],
}


@cache
def bases() -> list[tuple[BinarizedNetwork, Any, list[str]]]:
    """Proofs whose trees have functions, branches and leaves, though networks are tiny."""
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first = ["dense", "ternary", "cuts", "whole"][seed % 4]
        deeper = [("dense",), ("dense", "dense"), ()][seed % 3]
        network = network_of(seed, first, deeper, ["integer", "real"][seed % 5 == 0])
        image = rng.integers(0, network.levels + 1, network.num_inputs) / network.levels
        options = {
            "epsilon": f"{rng.integers(1, 3)}/{network.levels}",
            "domain": ["pixels", "continuous"][seed % 2],
            "target": ["untargeted", "runner-up"][seed % 3 == 0],
            "goal": ["margin", "flip"][seed % 4 == 1],
            "max_l1": None if seed % 6 else "3/4",
        }
        lines = cases.proof_of(network, image, **options)
        if lines is not None and len(lines) > 3:
            found.append((network, image, lines))
    return found


@pytest.fixture(autouse=True)
def _small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "OWN", 2)
    monkeypatch.setattr(tree, "INHERITED", 0)


def test_the_proofs_that_are_changed_have_lines_of_all_kinds() -> None:
    assert len(bases()) > 20
    for word in ("cut", "function", "branch", "search", "target"):
        assert any(line.split()[0] == word for _, _, lines in bases() for line in lines)
    for network, image, lines in bases():
        assert cases.checked(network, image, lines)


def changed_header(rng: np.random.Generator, lines: list[str]) -> list[str]:
    field = list(FIELDS)[rng.integers(len(FIELDS))]
    values = FIELDS[field]
    return cases.with_header(lines, **{field: values[rng.integers(len(values))]})


def changed_number(rng: np.random.Generator, lines: list[str]) -> list[str]:
    at = int(rng.integers(1, len(lines)))
    words = lines[at].split()
    if len(words) > 1:
        place = int(rng.integers(1, len(words)))
        number = words[place].split("*")[0]
        by = int(rng.choice([-1, 1, 7, -100, 1000]))
        change = [f"{int(number) + by}", f"{number}*{abs(by) + 1}", f"-{number}"][rng.integers(3)]
        words[place] = change.replace("--", "")
    return [*lines[:at], " ".join(words), *lines[at + 1 :]]


def dropped(rng: np.random.Generator, lines: list[str]) -> list[str]:
    at = int(rng.integers(1, len(lines)))
    return [*lines[:at], *lines[at + 1 :]]


def swapped(rng: np.random.Generator, lines: list[str]) -> list[str]:
    a, b = sorted(rng.integers(1, len(lines), 2).tolist())
    return [*lines[:a], lines[b], *lines[a + 1 : b], lines[a], *lines[b + 1 :]] if a < b else lines


def repeated(rng: np.random.Generator, lines: list[str]) -> list[str]:
    at, to = rng.integers(1, len(lines), 2).tolist()
    return [*lines[:to], lines[at], *lines[to:]]


def replaced(rng: np.random.Generator, lines: list[str]) -> list[str]:
    at = int(rng.integers(1, len(lines)))
    word = ["search", "branch 0", "branch 1", "cut 0 1", "cut 1", "end", "target 0", "function 3"]
    return [*lines[:at], word[rng.integers(len(word))], *lines[at + 1 :]]


MUTATIONS: list[Callable[..., list[str]]] = [
    *(changed_header, changed_header, changed_number, changed_number),
    *(dropped, swapped, repeated, replaced),
]


def test_no_changed_proof_of_something_false_is_accepted() -> None:
    rng, accepted, truth = np.random.default_rng(0), 0, {}
    for _ in range(CHANGES):
        which = int(rng.integers(len(bases())))
        network, image, lines = bases()[which]
        new = lines
        for _ in range(rng.integers(1, 4)):
            new = MUTATIONS[rng.integers(len(MUTATIONS))](rng, new)
        try:
            cases.checked(network, image, new)
        except check.Rejected:
            continue
        accepted += 1
        key = which, new[0]
        if key not in truth:
            truth[key] = cases.is_true(network, image, json.loads(new[0]))
        assert truth[key], new
    assert 100 < accepted < CHANGES / 2


def test_a_proof_of_something_else_is_rejected() -> None:
    for network, image, lines in bases()[:20]:
        about = cases.header(lines)
        other = network_of(999)
        elsewhere = np.roll(image, 1) if np.ptp(image) else 1.0 - image
        with pytest.raises(check.Rejected, match="another network"):
            cases.checked(other, image, lines)
        with pytest.raises(check.Rejected, match="another image"):
            cases.checked(network, elsewhere, lines)
        for at in range(1, len(lines)):
            with pytest.raises(check.Rejected):
                cases.checked(network, image, lines[:at])
        for at, line in enumerate(lines):
            if line == "search":  # a leaf
                with pytest.raises(check.Rejected):
                    cases.checked(network, image, [*lines[:at], *lines[at + 1 :]])
        if about["claim"] == "margin":
            lower = cases.with_header(lines, bound=str(check.Fraction(about["bound"]) - 1))
            if not cases.is_true(network, image, cases.header(lower)):
                with pytest.raises(check.Rejected):
                    cases.checked(network, image, lower)
