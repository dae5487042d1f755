"""Ranges, lines, parabolas and classes against plain sums over all flip sets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.bound import (
    _lowest_curve,
    cardinality_colours,
    deeper_lines,
    margin_of,
    second_curves,
)
from tests.search.cases import (
    Node,
    margin_at,
    random_conflicts,
    random_terms,
    subsets,
    surplus_at,
)

seeds = st.integers(0, 10**6)
layers = st.sampled_from([0, 1, 2])
scales = st.sampled_from([2.0**-10, 1.0, 2.0**10])


@settings(max_examples=60)
@given(seed=seeds, deeper=layers, scale=scales)
def test_the_margin_of_a_surplus_is_that_of_its_layers(
    seed: int, deeper: int, scale: float
) -> None:
    terms = random_terms(np.random.default_rng(seed), 5, 4, deeper, scale)
    for members in subsets(range(5)):
        found = margin_of(terms, surplus_at(terms, members).astype(np.float32))
        assert found == pytest.approx(margin_at(terms, members), rel=1e-12)


@settings(max_examples=80)
@given(seed=seeds, deeper=layers)
def test_ranges_are_those_of_the_classes_and_then_of_each_layer_by_itself(
    seed: int, deeper: int
) -> None:
    node = Node(seed, 8, deeper)
    room, terms, size = node.room, node.terms, node.size
    low = high = surplus_at(terms, node.path)
    for c in range(node.groups):
        change = terms.change[node.kept[room.group[:size] == c]]
        low = low + np.minimum(change.min(axis=0), 0.0)
        high = high + np.maximum(change.max(axis=0), 0.0)
    for at in range(deeper + 1):
        assert room.low[at].tolist() == low.tolist()
        assert room.high[at].tolist() == high.tolist()
        if at < deeper:
            weight, needed = terms.weight[at], terms.needed[at]
            sure, possible = (low >= 0).astype(float), (high >= 0).astype(float)
            low = np.minimum(weight, 0.0) @ possible + np.maximum(weight, 0.0) @ sure
            high = np.minimum(weight, 0.0) @ sure + np.maximum(weight, 0.0) @ possible
            low, high = low - needed, high - needed


def drawn(node: Node, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Moments of the second layer's surplus over a few sets of a node."""
    sets = node.sets
    some = [sets[i] for i in rng.integers(len(sets), size=4)]
    sums = np.array([surplus_at(node.terms, node.members(places)) for places in some])
    return sums.mean(axis=0), (sums**2).mean(axis=0)


@settings(max_examples=80)
@given(seed=seeds, deeper=st.sampled_from([1, 2]), scale=scales)
def test_lines_through_deeper_layers_lie_above_the_margin_whatever_is_expected(
    seed: int, deeper: int, scale: float
) -> None:
    node = Node(seed, 8, deeper, scale)
    rng, room, terms = np.random.default_rng(seed), node.room, node.terms
    for _ in range(3):
        activation = rng.random((deeper + 1, 4))
        gains = np.full((deeper + 1, 4), -77.0)
        level, size = deeper_lines(terms, room.low, room.high, activation, gains)
        assert size >= abs(level)
        for places in node.sets:
            on = surplus_at(terms, node.members(places)) >= 0
            assert node.margin(places) <= level + gains[0] @ on + 1e-9 * scale
        assert activation.min() >= 0.0
        assert activation.max() <= 1.0


@settings(max_examples=60)
@given(seed=seeds, deeper=st.sampled_from([1, 2]))
def test_where_ranges_decide_all_deeper_neurons_lines_give_the_margin_itself(
    seed: int, deeper: int
) -> None:
    node = Node(seed, 8, deeper)
    rng, terms = np.random.default_rng(seed), node.terms
    members = tuple(rng.permutation(8)[:3].tolist())
    low = np.zeros((deeper + 1, 4), dtype=np.float32)
    low[0] = surplus_at(terms, members)
    for at in range(deeper):
        low[at + 1] = terms.weight[at] @ (low[at] >= 0) - terms.needed[at]
    activation, gains = rng.random((deeper + 1, 4)), np.zeros((deeper + 1, 4))
    level, size = deeper_lines(terms, low, low.copy(), activation, gains)
    assert size >= abs(level)
    assert level == pytest.approx(margin_at(terms, members))
    assert not gains[0].any()
    assert activation[1:].tolist() == (low[1:] >= 0).astype(float).tolist()


@settings(max_examples=80)
@given(seed=seeds)
def test_a_line_of_a_deeper_neuron_is_the_lower_of_the_two_that_it_may_have(seed: int) -> None:
    """One neuron that is undecided: its line at what is expected, or the constant."""
    rng = np.random.default_rng(seed)
    terms = random_terms(rng, 6, 3, 1)
    gain = float(rng.choice([-2.0, 2.0]))
    terms = terms._replace(gain=np.array([gain, 0.0, 0.0]))
    low, high = np.zeros((2, 3), dtype=np.float32), np.zeros((2, 3), dtype=np.float32)
    low[0], high[0] = -3.0, 3.0
    weight, needed = terms.weight[0][0], float(terms.needed[0][0])
    low[1, 0] = np.minimum(weight, 0.0).sum() - needed
    high[1, 0] = np.maximum(weight, 0.0).sum() - needed
    activation, gains = np.zeros((2, 3)), np.zeros((2, 3))
    activation[0] = expected = rng.random(3)
    under, over, y = float(low[1, 0]), float(high[1, 0]), float(weight @ expected) - needed
    level, size = deeper_lines(terms, low, high, activation, gains)
    assert size >= abs(level)
    found = level + gains[0] @ expected - terms.constant
    if under >= 0 or over < 0:
        assert found == pytest.approx(gain if under >= 0 else 0.0)
    elif gain > 0:
        share = min((y - under) / -under, 1.0)
        assert found == pytest.approx(gain * share)
        assert activation[1, 0] == pytest.approx(min(max(share, 0.0), 1.0))
    else:
        share = max((y + 1.0) / (over + 1.0), 0.0)
        assert found == pytest.approx(gain * share)
        assert activation[1, 0] == pytest.approx(min(max(share, 0.0), 1.0))


@settings(max_examples=100)
@given(seed=seeds, bends=st.booleans(), scale=scales)
def test_curves_lie_above_each_neuron_of_the_second_layer_at_all_whole_numbers(
    seed: int, bends: bool, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    gain = scale * rng.choice([-4.0, -2.0, 0.0, 2.0, 4.0], 6)
    low = rng.integers(-7, 3, 6).astype(np.float32)
    high = (low + rng.integers(0, 9, 6)).astype(np.float32)
    values = rng.integers(low.astype(int), high.astype(int) + 1, (3, 6)).astype(float)
    mean, square = values.mean(axis=0), (values**2).mean(axis=0)
    activation, slope, curve = np.full((3, 6), 77.0)
    level = second_curves(gain, mean, square, low, high, bends, activation, slope, curve)
    lowest = 0.0
    for j in range(6):
        y = np.arange(low[j], high[j] + 1.0, dtype=float)
        above = slope[j] * y + curve[j] * y**2 - gain[j] * (y >= 0)
        lowest += above.min()
        if not bends:
            assert curve[j] == 0.0
        assert -1e-9 <= activation[j] <= 1.0 + 1e-9
    assert level + lowest >= -1e-9 * scale
    # Each neuron by itself, and its height at the moments.
    for j in range(6):
        one = [array[j : j + 1] for array in (gain, mean, square, low, high)]
        height, line, bend = np.zeros((3, 1))
        own = second_curves(*one, bends, height, line, bend)
        y = np.arange(low[j], high[j] + 1.0, dtype=float)
        gaps = own + line[0] * y + bend[0] * y**2 - gain[j] * (y >= 0)
        assert gaps.min() >= -1e-9 * scale
        at_moments = own + line[0] * mean[j] + bend[0] * square[j]
        assert at_moments == pytest.approx(gain[j] * height[0], abs=1e-6 * scale)
        # A fall is a rise of the mirrored surplus.
        mirror = -1.0 - mean[j : j + 1], square[j : j + 1] + 2.0 * mean[j : j + 1] + 1.0
        ends = -1.0 - high[j : j + 1], -1.0 - low[j : j + 1]
        other = np.zeros((3, 1))
        second_curves(-gain[j : j + 1], *mirror, *ends, bends, *other)
        assert gain[j] == 0.0 or other[0] == pytest.approx(1.0 - height)
        if gain[j] != 0.0 and (low[j] >= 0 or high[j] < 0):
            assert height[0] == (low[j] >= 0)
            assert gaps.max() <= 1e-9 * scale


@settings(max_examples=150)
@given(
    least=st.integers(-12, -1),
    share=st.floats(0.001, 0.999),
    spread=st.floats(0.0, 30.0),
    bends=st.booleans(),
)
def test_the_curve_is_the_lowest_of_those_allowed_at_the_moments(
    least: int, share: float, spread: float, bends: bool
) -> None:
    x = least * share
    part = x - np.floor(x)
    square = x * x + part * (1.0 - part) + spread  # no whole numbers have less
    height, line, bend = _lowest_curve(float(least), x, square, bends)
    assert height == pytest.approx(1.0 + line * x + bend * square)
    heights = [1.0, 1.0 + x / -least]
    if bends:
        for t in range(2, -least + 1):
            heights.append(1.0 + ((2 * t - 1) * x + square) / (t * (t - 1)))
    assert height >= min(heights) - 1e-9
    # The whole number nearest to the best real one is the best but for little.
    assert height <= min(heights) + 0.02
    for y in range(least, 20):
        assert 1.0 + line * y + bend * y * y >= (1.0 if y >= 0 else 0.0) - 1e-9


@settings(max_examples=60)
@given(seed=seeds, share=st.floats(0.0, 1.0))
def test_classes_are_greedy_and_their_members_all_conflict(seed: int, share: float) -> None:
    conflict = random_conflicts(np.random.default_rng(seed), 8, share)
    colour = np.full(9, 77)
    count = cardinality_colours(conflict, 8, colour)
    classes: list[list[int]] = []
    for a in range(8):
        fits = [members for members in classes if all(conflict[a, b] for b in members)]
        if fits:
            fits[0].append(a)
        else:
            classes.append([a])
    assert count == len(classes)
    for c, members in enumerate(classes):
        assert colour[members].tolist() == [c] * len(members)
        assert all(conflict[a, b] for a, b in combinations(members, 2))
    assert colour[8] == 77
