"""Goals as they are written, and which of two points serves one better."""

from __future__ import annotations

import numpy as np
import pytest

from bnnopt.errors import BnnoptError
from bnnopt.goal import Goal, Stage, distances

MOVED = {"linf": 0.25, "l1": 0.5, "l0": 3.0}


@pytest.mark.parametrize(
    ("text", "stages", "values", "needs_flip", "is_margin"),
    [
        ("margin", (Stage(1.0, {}),), [2.0], False, True),
        ("2*margin", (Stage(2.0, {}),), [4.0], False, False),
        ("flip", (), [], True, False),
        ("linf", (Stage(0.0, {"linf": 1.0}),), [0.25], True, False),
        ("l1", (Stage(0.0, {"l1": 1.0}),), [0.5], True, False),
        ("0.5*l0", (Stage(0.0, {"l0": 0.5}),), [1.5], True, False),
        ("margin+3*l1", (Stage(1.0, {"l1": 3.0}),), [0.5], False, False),
        ("margin + margin", (Stage(2.0, {}),), [4.0], False, False),
        ("l1+2*l1+l0", (Stage(0.0, {"l1": 3.0, "l0": 1.0}),), [4.5], True, False),
        ("l0,linf", (Stage(0.0, {"l0": 1.0}), Stage(0.0, {"linf": 1.0})), [3.0, 0.25], True, False),
        ("margin,l1", (Stage(1.0, {}), Stage(0.0, {"l1": 1.0})), [2.0, 0.5], False, False),
        ("l1,margin", (Stage(0.0, {"l1": 1.0}), Stage(1.0, {})), [0.5, 2.0], True, False),
        ("1e6*l1", (Stage(0.0, {"l1": 1e6}),), [5e5], True, False),
    ],
)
def test_a_goal_is_what_is_written(
    text: str, stages: tuple[Stage, ...], values: list[float], needs_flip: bool, is_margin: bool
) -> None:
    goal = Goal.parse(text)
    assert (goal.stages, goal.needs_flip, goal.is_margin) == (stages, needs_flip, is_margin)
    assert goal.values(2.0, MOVED) == pytest.approx(values)
    for stage in goal.stages:
        assert stage.is_maximised == (stage.margin > 0.0)
    senses = [1.0 if stage.is_maximised else -1.0 for stage in stages]
    rank = [sense * value for sense, value in zip(senses, values, strict=True)]
    assert goal.rank(2.0, True, MOVED) == pytest.approx((*rank, 2.0, 1.0))
    if needs_flip:
        assert goal.rank(2.0, False, MOVED) == (-np.inf, 2.0)
        assert goal.rank(-9.0, True, MOVED) > goal.rank(9.0, False, MOVED)
    else:
        assert goal.rank(2.0, False, MOVED) == pytest.approx((*rank, 2.0, 0.0))


@pytest.mark.parametrize("text", ["0*l1", "-1*l1", "1000001*l1", "a*l1", "l2", "l1,l0,linf", ""])
def test_what_is_no_goal_is_refused(text: str) -> None:
    with pytest.raises(BnnoptError):
        Goal.parse(text)


def test_distances_are_the_largest_the_sum_and_the_number_of_changes() -> None:
    change = np.array([0.0, -0.5, 0.25, 0.0])
    assert distances(change) == {"linf": 0.5, "l1": 0.75, "l0": 2.0}
    assert distances(np.zeros(3)) == {"linf": 0.0, "l1": 0.0, "l0": 0.0}
