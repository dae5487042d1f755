"""Lattices, units, flips and roundings of margins, against all activations of the last layer."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.margins import Margins
from bnnopt.network.layers import HiddenLayer, OutputLayer
from bnnopt.tolerances import SOLVER_GAP, SOLVER_LATTICE_SHARE

seeds = st.integers(0, 10**6)
ties = st.sampled_from(["lowest", "never", "always"])
heads = st.sampled_from(["integer", "shared", "halves", "real", "fine", "mixed"])
sizes = st.sampled_from([2.0**-30, 1.0, 2.0**30])
H = np.array(list(product((-1.0, 1.0), repeat=4)))


def head_of(seed: int, kind: str, size: float) -> OutputLayer:
    rng = np.random.default_rng(seed)
    weight = rng.choice([-1, 1], (3, 4))
    scale, bias = np.ones(3), rng.integers(-3, 4, 3).astype(float)
    if kind == "shared":
        scale[:] = 3.0
    elif kind == "halves":
        scale, bias = rng.choice([0.5, 1.5], 3), bias / 4.0
    elif kind == "fine":
        scale, bias = np.array([1.0, 1.0 + 2.0**-9, 1.0]), bias + 0.125
    elif kind in ("real", "mixed"):
        scale, bias = rng.normal(size=3), rng.normal(size=3)
        if kind == "mixed":
            scale[1:], bias[1:] = 1.0, 0.0
    return OutputLayer(weight, scale * size, bias * size).on_grid()


def exact_margins(output: OutputLayer, target: int, source: int) -> list[Fraction]:
    def logit(c: int, h: Any) -> Fraction:
        total = sum(int(w) * int(a) for w, a in zip(output.weight[c], h, strict=True))
        return Fraction(float(output.scale[c])) * total + Fraction(float(output.bias[c]))

    return [logit(target, h) - logit(source, h) for h in H]


def flips_by(rule: str, margin: Fraction, target: int, source: int) -> bool:
    return margin > 0 or (
        margin == 0 and (rule == "always" or (rule == "lowest" and target < source))
    )


@settings(max_examples=150)
@given(seed=seeds, kind=heads, size=sizes, rule=ties, source=st.integers(0, 2))
def test_margins_flips_and_lattices_are_those_of_all_activations(
    seed: int, kind: str, size: float, rule: Any, source: int
) -> None:
    output = head_of(seed, kind, size)
    targets = [c for c in range(3) if c != source]
    margins = Margins(output, source, targets, rule)
    exact = {c: exact_margins(output, c, source) for c in targets}
    logits = output(H)
    assert [Fraction(float(m)) for m in margins.best(logits)] == [
        max(pair) for pair in zip(*exact.values(), strict=True)
    ]
    are_flips = [
        any(flips_by(rule, m, c, source) for c, m in zip(targets, row, strict=True))
        for row in zip(*exact.values(), strict=True)
    ]
    assert margins.is_flip(logits).tolist() == are_flips
    for c in targets:
        gain, constant = margins.terms(c)
        assert [Fraction(float(m)) for m in H @ gain + constant] == exact[c]
        check_target(margins, c, exact[c], [flips_by(rule, m, c, source) for m in exact[c]])
    top = max(float(abs(margins.terms(c)[0]).max()) for c in targets)
    if top > 0:
        assert margins.unit < top <= 2.0 * margins.unit
    assert np.frexp(margins.unit)[0] == 0.5
    flips = [m for m, flip in zip(margins.best(logits).tolist(), are_flips, strict=True) if flip]
    rest = [m for m, flip in zip(margins.best(logits).tolist(), are_flips, strict=True) if not flip]
    assert all(m <= margins.most_without_flip for m in rest)
    assert not any(margins.excludes_flip(m) for m in flips)


def check_target(
    margins: Margins, target: int, exact: list[Fraction], are_flips: list[bool]
) -> None:
    least = Fraction(margins.least_flip(target))
    for m, is_flip in zip(exact, are_flips, strict=True):
        assert (m >= least) == is_flip
    lattice = margins.lattice(target)
    if lattice is not None:
        offset, step = (Fraction(value) for value in lattice)
        assert step > 0
        steps = [(m - offset) / step for m in exact]
        assert all(number.denominator == 1 for number in steps)
        # No coarser one has them all.
        differences = {int(a - b) for a in steps for b in steps} - {0}
        assert int(np.gcd.reduce([*differences])) == 1
        assert ((least - offset) / step).denominator == 1
        below = least - step
        assert not (below > 0 or (below == 0 and margins.wins_ties(target)))


def rounded_by_hand(margins: Margins, target: int, bound: float) -> float:
    """The largest margin of a target that is not beyond a bound, which may be a little too low."""
    (gain, constant), lattice = margins.terms(target), margins.lattice(target)
    if not gain.any():
        return constant if bound >= constant - 1e-5 * margins.unit else -np.inf
    if lattice is None:
        return bound
    offset, step = lattice
    return offset + step * float(np.floor((bound - offset) / step + 2.5e-4))


@settings(max_examples=80)
@given(seed=seeds, kind=heads, size=sizes, above=st.floats(-3.0, 3.0))
def test_a_rounded_bound_excludes_no_margin_that_the_bound_does_not(
    seed: int, kind: str, size: float, above: float
) -> None:
    output = head_of(seed, kind, size)
    for targets in ([1], [1, 2]):
        margins = Margins(output, 0, targets, "lowest")
        best = margins.best(output(H))
        for m in best.tolist():
            assert margins.round_bound(m) == m
            bound = m + above * margins.unit
            rounded = margins.round_bound(bound)
            assert all(rounded >= other for other in best.tolist() if other <= bound)
            assert rounded == max(rounded_by_hand(margins, c, bound) for c in targets)
    one = Margins(output, 0, [1], "lowest")
    lattice = one.lattice(1)
    if lattice is not None:
        offset, step = lattice
        assert (
            one.round_bound(offset + step * (5 - 0.5 * SOLVER_LATTICE_SHARE)) == offset + 5 * step
        )
        assert one.round_bound(offset + step * (5 - 2 * SOLVER_LATTICE_SHARE)) == offset + 4 * step
        assert one.solver_gap * one.unit == pytest.approx(0.975 * step)
        least = one.least_flip(1)
        assert not one.excludes_flip(least - 0.5 * SOLVER_LATTICE_SHARE * step)
        assert one.excludes_flip(least - 2 * SOLVER_LATTICE_SHARE * step)
        assert one.most_without_flip == least - step
    else:
        assert one.solver_gap == SOLVER_GAP
        assert one.most_without_flip == 0.0
        assert not one.excludes_flip(-0.5 * one.gap)
        assert one.excludes_flip(-2.0 * one.gap)


def test_a_lattice_needs_a_step_of_some_size_and_a_gap_that_targets_share() -> None:
    assert Margins(head_of(0, "fine", 1.0), 0, [1], "never").lattice(1) is None
    assert Margins(head_of(0, "integer", 1.0), 0, [1], "never").lattice(1) is not None
    for bias, expected in ((0.0, 0.975 * 4.0), (4.0, 0.975 * 4.0), (1.0, SOLVER_GAP)):
        weight = [[1, 1], [1, -1], [-1, 1]]
        output = OutputLayer(weight, [1, 1, 1], [0.0, 0.0, bias]).on_grid()
        assert Margins(output, 0, [1, 2], "never").solver_gap == pytest.approx(expected)


def test_classes_that_differ_in_nothing_have_a_unit_and_no_lattice() -> None:
    same = OutputLayer([[1, 1], [1, 1]], [1, 1], [0.0, -8.0])
    margins = Margins(same, 0, [1], "always")
    assert margins.lattice(1) is None
    assert margins.unit > 0.0
    assert Margins(OutputLayer([[1], [1]], [1, 1], [0, 0]), 0, [1], "always").unit == 1.0
    assert Margins(OutputLayer([[1], [-1]], [1, 1], [0, 0]), 0, [1], "always").unit == 1.0


@settings(max_examples=60)
@given(seed=seeds, size=sizes, far=st.sampled_from([0.0, 5.0, -(2.0**20), 2.0**20]))
def test_the_grid_of_a_head_is_near_and_fits_its_logits(seed: int, size: float, far: float) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.choice([-1, 1], (3, 4))
    scale, bias = size * rng.normal(size=3), size * rng.normal(size=3)
    bias[0] += min(size, 2.0**15) * far
    head = OutputLayer(weight, scale, bias).on_grid()
    largest = float((np.abs(head.scale) * 4 + np.abs(head.bias)).max())
    step = Fraction(2.0 ** (np.frexp(largest)[1] - 50))
    for before, after in ((scale, head.scale), (bias, head.bias)):
        for a, b in zip(before.tolist(), after.tolist(), strict=True):
            assert (Fraction(b) / step).denominator == 1
            assert abs(Fraction(a) - Fraction(b)) <= step / 2 * Fraction(1001, 1000)
    again = head.on_grid()
    assert again.scale.tolist() == head.scale.tolist()
    assert again.bias.tolist() == head.bias.tolist()
    assert OutputLayer(weight, np.zeros(3), np.zeros(3)).on_grid().bias.tolist() == [0.0] * 3
    assert head.is_integer == bool((head.scale == 1).all() and (head.bias % 1 == 0).all())
    integer = OutputLayer(weight, np.ones(3), np.array([3.0, 0.0, far]))
    assert integer.is_integer
    assert integer.on_grid().scale.tolist() == [1.0] * 3
    assert not OutputLayer(weight, np.ones(3), np.array([0.5, 0.0, 0.0])).is_integer
    assert not OutputLayer(weight, np.array([1.0, 1.0, 2.0]), np.zeros(3)).is_integer


@settings(max_examples=60)
@given(seed=seeds, fan_in=st.integers(1, 5))
def test_a_canonical_threshold_decides_every_sum_alike(seed: int, fan_in: int) -> None:
    rng = np.random.default_rng(seed)
    layer = HiddenLayer(rng.choice([-1, 1], (6, fan_in)), rng.integers(-9, 10, 6))
    other = layer.canonical()
    points = np.array(list(product((-1.0, 1.0), repeat=fan_in)))
    assert (layer(points) == other(points)).all()
    assert (layer(points) == np.where(points @ layer.weight.T >= layer.threshold, 1, -1)).all()
    assert ((other.threshold - fan_in) % 2 == 0).all()
    assert (-fan_in <= other.threshold).all()
    assert (other.threshold <= fan_in + 2).all()
    assert (other.canonical().threshold == other.threshold).all()
