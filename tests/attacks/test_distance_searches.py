"""Bisection and growing budgets, whatever a search within a budget says that is true."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.attacks.base import Limits
from bnnopt.attacks.budgets.growing import grow_budget
from bnnopt.attacks.budgets.l1_relaxation import carry_over, fewer_pixels, l1_relaxation
from bnnopt.attacks.budgets.smallest import (
    _between,
    _beyond,
    _steps,
    distance_sought,
    smallest_budget,
)
from bnnopt.attacks.findings import Findings
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)
moods = st.sampled_from(["proves", "is slow", "stays open", "stops"])


class Truth:
    """All images of whole levels of an instance, its flips, and a search that knows them."""

    def __init__(self, seed: int, goal: str, mood: str, **options: Any) -> None:
        network = random_network(seed, inputs=3, widths=(5, 3), levels=7)
        self.instance = AttackInstance(
            network,
            random_image(network, seed),
            "3/7",
            "untargeted",
            "pixels",
            goal=goal,
            **options,  # type: ignore[arg-type]
        )
        self.mood, self.rng = mood, np.random.default_rng(seed)
        low, high = self.instance.point_box
        ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
        points = np.array(list(product(*ranges)), dtype=float)
        points = points[[self.instance.admits(z / 7.0) for z in points]]
        self.flips = points[self.instance.are_flips(points)]
        self.asked: list[AttackInstance] = []
        self.moods: dict[Any, bool] = {}

    def nearest(self, name: str) -> float:
        return min((self.instance.distances(z)[name] for z in self.flips), default=np.inf)

    def approach(self, _: AttackInstance, name: str, z: np.ndarray, limits: Limits) -> np.ndarray:
        """A flip that is no farther, at random."""
        distances = np.array([self.instance.distances(flip)[name] for flip in self.flips])
        no_farther = np.flatnonzero(distances <= self.instance.distances(z)[name])
        return np.array(self.flips[self.rng.choice(no_farther)])

    def search(self, part: AttackInstance, *_: Any) -> Findings:
        """Within a budget: some flip of it, or that there is none; or nothing at all."""
        assert len(self.asked) < 100
        assert self.mood != "stops" or not any(self.moods.values()), "it was stopped"
        self.asked.append(part)
        inside = [z for z in self.flips if part.admits(z / 7.0)]
        nothing = Findings(np.zeros((0, 3)), iterations=3)
        key = part.epsilon, part.max_l1, part.max_pixels  # asked again, it says the same
        fails = self.moods.setdefault(key, self.mood != "proves" and self.rng.random() < 0.4)
        if fails:
            nothing.cut_off = self.mood == "is slow"
            nothing.interrupted = self.mood == "stops"
            return nothing
        if inside:
            nothing.points = inside[int(self.rng.integers(len(inside)))][None]
        else:
            nothing.no_flip, nothing.bound = True, -1.0
        return nothing


@settings(max_examples=60)
@given(seed=seeds, name=st.sampled_from(["linf", "l1", "l0"]), mood=moods, budget=st.booleans())
def test_bisection_bounds_the_distance_and_ends_at_it_where_all_is_proved(
    seed: int, name: str, mood: str, budget: bool
) -> None:
    truth = Truth(seed, name, mood, **({"max_l1": "6/7"} if budget else {}))
    instance = truth.instance
    assert distance_sought(instance) == name
    limits = Limits(effort=90) if mood == "is slow" else Limits()
    found = smallest_budget(instance, name, limits, np.zeros((0, 3)), truth.search, truth.approach)
    (bound,) = found.goal_bounds
    least = truth.nearest(name)
    is_flip = bool(instance.are_flips(instance.levels[None])[0])
    assert bound is not None
    assert bound <= least + 1e-9 or is_flip
    assert not found.no_flip or least == np.inf
    for part in truth.asked:
        assert part.goal == "flip"
        assert part.epsilon <= instance.epsilon + 1e-12
    if not is_flip:
        assert found.iterations == 3 * len(truth.asked)
    if mood == "proves" and not is_flip:
        if least == np.inf:
            assert found.no_flip
            assert len(truth.asked) == 1
        else:
            best = min(instance.distances(z)[name] for z in found.points)
            assert best == pytest.approx(least)
            assert bound == pytest.approx(least)
    if mood == "stops" and found.interrupted:
        assert found.interrupted


@settings(max_examples=60)
@given(seed=seeds, name=st.sampled_from(["l1", "l0"]), mood=moods, budget=st.booleans())
def test_growing_budgets_bound_the_distance_and_end_at_it_where_all_is_proved(
    seed: int, name: str, mood: str, budget: bool
) -> None:
    limited: dict[str, Any] = {"max_pixels": 3, "max_l1": "6/7"} if budget else {}
    truth = Truth(seed, name, mood, **limited)
    instance = truth.instance

    def solve(part: AttackInstance, limits: Limits) -> Findings:
        found = truth.search(part)
        inside = [instance.distances(z)[name] for z in truth.flips if part.admits(z / 7.0)]
        if len(found.points):  # a solver's best within the budget, and what it proved of it
            claim = min(inside) if truth.mood == "proves" else min(inside) * truth.rng.random()
            found.goal_bounds = [claim]
        return found

    limits = Limits(effort=90) if mood == "is slow" else Limits()
    found = grow_budget(instance, limits, name, solve)
    bound = found.goal_bounds[0]
    least = truth.nearest(name)
    is_flip = bool(instance.are_flips(instance.levels[None])[0])
    assert bound is not None
    assert bound <= least + 1e-9 or is_flip
    assert not found.no_flip or least == np.inf
    if mood == "proves" and not is_flip:
        assert found.no_flip == (least == np.inf)
        if least == np.inf:
            assert bound >= instance.largest_distance(name) - 1e-9
        if least < np.inf:
            flips = found.points[instance.are_flips(found.points)]
            assert min(instance.distances(z)[name] for z in flips) >= least - 1e-9
    if mood == "stops" and found.interrupted:
        assert truth.asked


@settings(max_examples=60)
@given(
    seed=seeds,
    goal=st.sampled_from(["margin", "flip", "l1", "l0", "l0,linf", "l1,margin", "linf"]),
    pixels=st.sampled_from([None, 0, 1, 2, 3]),
    max_l1=st.sampled_from([None, "4/7"]),
    direction=st.sampled_from(["both", "lighten"]),
)
def test_the_relaxation_has_every_admissible_image_and_bounds_what_is_sought(
    seed: int, goal: str, pixels: int | None, max_l1: Any, direction: Any
) -> None:
    truth = Truth(seed, goal, "proves", max_pixels=pixels, max_l1=max_l1, direction=direction)
    instance = truth.instance
    relaxed = l1_relaxation(instance)
    assert relaxed.max_pixels is None
    assert relaxed.goal == ("l1" if instance.sought.needs_flip else "margin")
    low, high = instance.point_box
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    admitted = [np.array(z) for z in product(*ranges) if instance.admits(np.array(z) / 7.0)]
    assert all(relaxed.admits(z / 7.0) for z in admitted)
    sums = [np.abs(z - instance.levels).sum() for z in admitted]
    if pixels is not None:
        assert relaxed.max_l1 is not None
        assert round(relaxed.max_l1 * 7.0) == max(sums)
    nearest = truth.nearest("l1")
    if nearest < np.inf and goal in ("l1", "l0", "l0,linf", "l1,margin"):
        for share in (0.0, 0.3, 1.0):
            claims = carry_over(instance, Findings(truth.flips, goal_bounds=[share * nearest]))
            name = goal[:2]
            (bound,) = claims.goal_bounds
            assert bound is not None
            assert bound <= truth.nearest(name) + 1e-9
            reach = np.sort(instance.reach)[::-1]
            if name == "l0":
                fewest = next(
                    count for count in range(4) if reach[:count].sum() >= share * nearest * 7 - 1e-6
                )
                assert bound == fewest
            else:
                assert bound == share * nearest
    else:
        bounds = carry_over(instance, Findings(truth.flips, goal_bounds=[0.1])).goal_bounds
        assert bounds == [] or goal in ("l1", "l0", "l0,linf", "l1,margin")


class Line:
    """One pixel that flips below a level, in the continuous domain; and a search that knows it."""

    def __init__(self, seed: int, name: str, mood: str) -> None:
        self.rng, self.mood = np.random.default_rng(seed), mood
        self.edge = int(self.rng.integers(1, 200))
        hidden = (HiddenLayer([[1]], [self.edge]),)
        network = BinarizedNetwork(hidden, OutputLayer([[-1], [1]], [1, 1], [0, 0]), levels=255)
        self.instance = AttackInstance(network, [200 / 255], "0.5", goal=name)
        self.least = (200 - self.edge + 2.0**-20) / 255
        self.asked: list[float] = []

    def approach(self, _: AttackInstance, name: str, z: np.ndarray, limits: Limits) -> np.ndarray:
        """Some of the way to the edge; every other time none, or all of it."""
        share = self.rng.choice([0.0, 1.0, self.rng.uniform()])
        return np.floor((z + share * (self.edge - 2.0**-20 - z)) * 2.0**20) / 2.0**20

    def search(self, part: AttackInstance, *_: Any) -> Findings:
        budget = min(part.epsilon, np.inf if part.max_l1 is None else part.max_l1)
        self.asked.append(budget)
        assert len(self.asked) < 100
        found = Findings(np.zeros((0, 1)), iterations=1)
        lowest = max(part.point_box[0][0], 200 - part.l1_point_levels)
        if self.mood == "thin" and 0.9995 * self.least < budget < self.least:
            return found  # a set without a point that nothing refutes
        if self.mood == "slow" and self.rng.random() < 0.3:
            found.cut_off = True
        elif lowest < self.edge:
            z = self.rng.uniform(lowest, self.edge - 2.0**-20)
            found.points = np.array([[z]])
        else:
            found.no_flip = True
        return found


@settings(max_examples=60)
@given(seed=seeds, name=st.sampled_from(["linf", "l1"]), mood=st.sampled_from(["proves", "slow"]))
def test_on_a_line_bisection_ends_within_its_precision(seed: int, name: str, mood: str) -> None:
    line = Line(seed, name, mood)
    found = smallest_budget(
        line.instance, name, Limits(), np.zeros((0, 1)), line.search, line.approach
    )
    (bound,) = found.goal_bounds
    assert bound is not None
    assert bound <= line.least
    flips = found.points[line.instance.are_flips(found.points)]
    best = min((line.instance.distances(z)[name] for z in flips), default=np.inf)
    if mood == "proves" and line.least <= 0.5:
        assert best - bound <= 1e-4 * best
        assert len(line.asked) < 40  # every other one at least halves what is open
    if mood == "proves" and line.least > 0.5:
        assert (found.no_flip, len(line.asked), bound) == (True, 1, 0.5)


@settings(max_examples=60)
@given(seed=seeds, name=st.sampled_from(["linf", "l1"]))
def test_what_stays_open_just_below_a_flip_hides_nothing_of_what_is_below_that(
    seed: int, name: str
) -> None:
    line = Line(seed, name, "thin")
    found = smallest_budget(
        line.instance, name, Limits(), np.zeros((0, 1)), line.search, line.approach
    )
    (bound,) = found.goal_bounds
    assert bound is not None
    assert bound <= line.least
    if line.least <= 0.5:
        assert line.least - bound <= 1e-3 * line.least


@settings(max_examples=60)
@given(
    seed=seeds,
    goal=st.sampled_from(["l0", "flip", "l0,linf"]),
    max_l1=st.sampled_from([None, "6/7"]),
)
def test_changes_are_taken_back_until_each_is_needed(seed: int, goal: str, max_l1: Any) -> None:
    truth = Truth(seed, goal, "proves", max_l1=max_l1)
    instance, image = truth.instance, truth.instance.levels
    for z in (*truth.flips[:: max(len(truth.flips) // 8, 1)], image):
        found = fewer_pixels(instance, z)
        if not instance.are_flips(z[None])[0]:
            assert found.tolist() == z.tolist() or instance.are_flips(found[None])[0]
            continue
        assert instance.are_flips(found[None])[0]
        assert instance.admits(found / 7.0)
        changed = np.flatnonzero(found != image)
        assert len(changed) <= np.count_nonzero(z != image)
        for i in changed if len(changed) > 1 else ():
            fewer = found.copy()
            fewer[i] = image[i]
            assert not instance.are_flips(fewer[None])[0]


def test_between_whole_levels_is_the_middle_one_whatever_rounding_does() -> None:
    for levels in (1, 7, 49, 98, 255):
        network = random_network(0, inputs=2, widths=(3,), levels=levels)
        instance = AttackInstance(network, np.zeros(2), 1.0, domain="pixels")
        assert {_steps(instance, name) for name in ("linf", "l1")} == {levels}
        for least in range(levels):
            for top in {least + 1, least + 2, levels}:
                found = _between(levels, least / levels, top / levels)
                assert found == (least + (top - least) // 2) / levels
            for name in ("linf", "l1"):
                assert _beyond(instance, name, least / levels) == (least + 1.0) / levels


@pytest.mark.parametrize("domain", ["continuous", "pixels"])
def test_numbers_of_pixels_are_whole_in_either_domain(domain: Any) -> None:
    network = random_network(0, inputs=2, widths=(3,), levels=7)
    instance = AttackInstance(network, np.zeros(2), 1.0, domain=domain)
    assert _steps(instance, "l0") == 1
    for least in range(5):
        assert _beyond(instance, "l0", float(least)) == least + 1.0
        for top in range(least + 1, 8):
            assert _between(1, float(least), float(top)) == least + (top - least) // 2
    if domain == "continuous":
        assert _steps(instance, "linf") is None
        assert _beyond(instance, "l1", 0.3) == 0.3
        assert _between(None, 0.25, 0.5) == 0.375
