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
from bnnopt.search.workspace import Workspace, new_workspace
from tests.search.cases import (
    Node,
    layers_of,
    margin_at,
    one_region,
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
    space, terms, size = node.space, node.terms, node.size
    low = high = surplus_at(terms, node.path)
    for c in range(node.groups):
        change = terms.change[node.kept[space.group[:size] == c]]
        low = low + np.minimum(change.min(axis=0), 0.0)
        high = high + np.maximum(change.max(axis=0), 0.0)
    layers = layers_of(terms)
    for at in range(deeper + 1):
        first, end = terms.start[at : at + 2]
        assert space.low[first:end].tolist() == low.tolist()
        assert space.high[first:end].tolist() == high.tolist()
        if at < deeper:
            weight, needed = layers[at]
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
    rng, space, terms = np.random.default_rng(seed), node.space, node.terms
    for _ in range(3):
        space.activation[:] = rng.random(len(terms.needed))
        space.push[:] = -77.0
        level, size = deeper_lines(terms, space)
        assert size >= abs(level)
        for places in node.sets:
            on = surplus_at(terms, node.members(places)) >= 0
            assert node.margin(places) <= level + space.push[:4] @ on + 1e-9 * scale
        assert space.activation.min() >= 0.0
        assert space.activation.max() <= 1.0


@settings(max_examples=60)
@given(seed=seeds, deeper=st.sampled_from([1, 2]))
def test_where_ranges_decide_all_deeper_neurons_lines_give_the_margin_itself(
    seed: int, deeper: int
) -> None:
    node = Node(seed, 8, deeper)
    rng, terms, space = np.random.default_rng(seed), node.terms, node.space
    members = tuple(rng.permutation(8)[:3].tolist())
    low = [surplus_at(terms, members)]
    for weight, needed in layers_of(terms):
        low.append(weight @ (low[-1] >= 0) - needed)
    space.low[:] = space.high[:] = np.concatenate(low)
    space.activation[:] = rng.random(len(terms.needed))
    level, size = deeper_lines(terms, space)
    assert size >= abs(level)
    assert level == pytest.approx(margin_at(terms, members))
    assert not space.push[:4].any()
    on = np.concatenate(low[1:]) >= 0
    assert space.activation[4:].tolist() == on.astype(float).tolist()


@settings(max_examples=80)
@given(seed=seeds)
def test_a_line_of_a_deeper_neuron_is_the_lower_of_the_two_that_it_may_have(seed: int) -> None:
    """One neuron that is undecided: its line at what is expected, or the constant."""
    rng = np.random.default_rng(seed)
    terms = random_terms(rng, 6, 3, 1)
    gain = float(rng.choice([-2.0, 2.0]))
    terms = terms._replace(gain=np.zeros(len(terms.gain)))
    terms.gain[0] = gain
    space = new_workspace(one_region(), terms)
    space.low[:3], space.high[:3] = -3.0, 3.0
    ((matrix, least),) = layers_of(terms)
    weight, needed = matrix[0], float(least[0])
    space.low[3] = under = np.minimum(weight, 0.0).sum() - needed
    space.high[3] = over = np.maximum(weight, 0.0).sum() - needed
    space.activation[:3] = expected = rng.random(3)
    y = float(weight @ expected) - needed
    level, size = deeper_lines(terms, space)
    assert size >= abs(level)
    found = level + space.push[:3] @ expected - terms.constant
    if under >= 0 or over < 0:
        assert found == pytest.approx(gain if under >= 0 else 0.0)
    elif gain > 0:
        share = min((y - under) / -under, 1.0)
        assert found == pytest.approx(gain * share)
        assert space.activation[3] == pytest.approx(min(max(share, 0.0), 1.0))
    else:
        share = max((y + 1.0) / (over + 1.0), 0.0)
        assert found == pytest.approx(gain * share)
        assert space.activation[3] == pytest.approx(min(max(share, 0.0), 1.0))


def curves_of(
    gain: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    bends: bool,
) -> tuple[float, Workspace]:
    """The constant, and a workspace that has the curves."""
    terms = random_terms(np.random.default_rng(0), 2, len(gain))
    space = new_workspace(one_region(), terms)
    space.mean[:], space.square[:], space.low[:], space.high[:] = mean, square, low, high
    space.activation[:], space.slope[:], space.curve[:] = 77.0, 77.0, 77.0
    return second_curves(gain, bends, space), space


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
    level, space = curves_of(gain, mean, square, low, high, bends)
    lowest = 0.0
    for j in range(6):
        y = np.arange(low[j], high[j] + 1.0, dtype=float)
        above = space.slope[j] * y + space.curve[j] * y**2 - gain[j] * (y >= 0)
        lowest += above.min()
        if not bends:
            assert space.curve[j] == 0.0
        assert -1e-9 <= space.activation[j] <= 1.0 + 1e-9
    assert level + lowest >= -1e-9 * scale
    # Each neuron by itself, and its height at the moments.
    for j in range(6):
        one = [array[j : j + 1] for array in (gain, mean, square, low, high)]
        own, alone = curves_of(*one, bends)
        height, line, bend = alone.activation[0], alone.slope[0], alone.curve[0]
        y = np.arange(low[j], high[j] + 1.0, dtype=float)
        gaps = own + line * y + bend * y**2 - gain[j] * (y >= 0)
        assert gaps.min() >= -1e-9 * scale
        at_moments = own + line * mean[j] + bend * square[j]
        assert at_moments == pytest.approx(gain[j] * height, abs=1e-6 * scale)
        # A fall is a rise of the mirrored surplus.
        mirror = -1.0 - mean[j : j + 1], square[j : j + 1] + 2.0 * mean[j : j + 1] + 1.0
        ends = -1.0 - high[j : j + 1], -1.0 - low[j : j + 1]
        _, other = curves_of(-gain[j : j + 1], *mirror, *ends, bends)
        assert gain[j] == 0.0 or other.activation[0] == pytest.approx(1.0 - height)
        if gain[j] != 0.0 and (low[j] >= 0 or high[j] < 0):
            assert height == (low[j] >= 0)
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
    assert height == pytest.approx(min(heights))
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
