from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import HiddenLayer, OutputLayer
from bnnopt.margins import TIES, Margins
from tests.helpers import random_network

SCALES = [1.0, 1e-6, 2.0**37, 0.3]


def head_of(seed: int, scale: float, classes: int = 3, fan_in: int = 5) -> OutputLayer:
    """An integer head times a number."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.choice([-1, 1], (classes, fan_in)), rng.integers(-3, 4, classes)
    return OutputLayer(weight, np.full(classes, scale), bias * scale).on_grid()


def all_margins(output: OutputLayer, target: int, source: int) -> np.ndarray:
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=output.weight.shape[1])))
    logits = output(signs)
    return logits[:, target] - logits[:, source]


def beats(margin: float, target: int, source: int, ties: str) -> bool:
    wins = ties == "always" or (ties == "lowest" and target < source)
    return margin > 0 or (margin == 0 and wins)


@given(st.integers(0, 500), st.sampled_from(SCALES), st.sampled_from(TIES))
def test_the_least_flip_separates_flips_from_all_other_margins(
    seed: int, scale: float, ties: str
) -> None:
    output = head_of(seed, scale)
    for source, target in itertools.permutations(range(3), 2):
        margins = Margins(output, source, [target], ties)  # type: ignore[arg-type]
        least = margins.least_flip(target)
        for margin in all_margins(output, target, source):
            assert (margin >= least) == beats(margin, target, source, ties)
            if not beats(margin, target, source, ties):
                assert margin <= margins.most_without_flip


@given(st.integers(0, 500), st.sampled_from(SCALES))
def test_every_margin_lies_on_the_lattice_whose_step_no_scale_loses(
    seed: int, scale: float
) -> None:
    output = head_of(seed, scale)
    for source, target in itertools.permutations(range(3), 2):
        lattice = Margins(output, source, [target], "never").lattice(target)
        values = all_margins(output, target, source)
        if len(np.unique(values)) == 1:
            assert lattice is None
            continue
        assert lattice is not None
        offset, step = lattice
        assert step == pytest.approx(4 * scale, rel=1e-12)
        steps = [(Fraction(v) - Fraction(offset)) / Fraction(step) for v in values]
        assert all(number.denominator == 1 for number in steps)


@given(st.integers(0, 500), st.sampled_from(SCALES), st.sampled_from(TIES))
def test_a_bound_excludes_flips_only_where_no_margin_below_it_is_one(
    seed: int, scale: float, ties: str
) -> None:
    output = head_of(seed, scale)
    margins = Margins(output, 1, [0, 2], ties)  # type: ignore[arg-type]
    values = {c: all_margins(output, c, 1) for c in (0, 2)}
    for bound in np.unique(np.concatenate(list(values.values()))):
        below = [(m, c) for c in (0, 2) for m in values[c] if m <= bound]
        has_flip = any(beats(m, c, 1, ties) for m, c in below)
        assert margins.excludes_flip(float(bound)) <= (not has_flip)
        if margins.excludes_flip(float(bound)):
            continue
        lattices = [margins.lattice(c) for c in (0, 2)]
        if None not in lattices and not has_flip:
            # A value of the lattice that this head has no activations for.
            assert any(bound >= margins.least_flip(c) for c in (0, 2))


@given(st.integers(0, 500), st.sampled_from(SCALES))
def test_rounding_a_bound_keeps_every_margin_and_reaches_the_lattice(
    seed: int, scale: float
) -> None:
    output = head_of(seed, scale)
    margins = Margins(output, 0, [1, 2], "lowest")
    best = np.maximum(all_margins(output, 1, 0), all_margins(output, 2, 0))
    for value in np.unique(best):
        assert margins.round_bound(float(value)) >= value
        assert margins.round_bound(float(value) - 1e-6 * margins.unit) >= value
        if all(margins.lattice(c) or not margins.terms(c)[0].any() for c in (1, 2)):
            assert margins.round_bound(float(value) + 0.5 * scale) < value + 4 * scale


@pytest.mark.parametrize("scale", [1.0, 1e-6, 2.0**37, 2.0**-40, 3e9])
def test_the_unit_makes_the_largest_gain_a_number_above_1_and_at_most_2(scale: float) -> None:
    output = head_of(0, scale)
    margins = Margins(output, 0, [1, 2], "lowest")
    gains = [np.abs(margins.terms(c)[0]).max() for c in (1, 2)]
    assert 1.0 < max(gains) / margins.unit <= 2.0
    assert np.frexp(margins.unit)[0] == 0.5  # a power of two
    if scale == 1.0:
        assert margins.unit == 1.0


def test_a_head_of_several_scales_has_no_lattice_and_a_positive_least_flip() -> None:
    network = random_network(0, head="batchnorm")
    margins = Margins(network.output, 0, [1], "never")
    assert margins.lattice(1) is None
    assert 0.0 < margins.least_flip(1) < 1e-15 * margins.unit
    assert Margins(network.output, 1, [0], "lowest").least_flip(0) == 0.0
    assert margins.round_bound(1.23) == 1.23


@given(st.integers(0, 200))
def test_logits_of_a_head_on_its_grid_are_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale, bias = rng.normal(size=(2, 3)) * 10.0 ** rng.integers(-8, 9, (2, 3))
    given_head = OutputLayer(rng.choice([-1, 1], (3, 7)), scale, bias)
    output = given_head.on_grid()
    again = output.on_grid()
    assert np.array_equal(again.scale, output.scale)
    assert np.array_equal(again.bias, output.bias)
    largest = float((np.abs(scale) * 7 + np.abs(bias)).max())
    assert np.abs(output.scale - scale).max() <= 2.0**-49 * largest
    signs = rng.choice([-1.0, 1.0], (20, 7))
    for row, logits in zip(signs.astype(int).tolist(), output(signs), strict=True):
        for c in range(3):
            total = sum(w * h for w, h in zip(output.weight[c].tolist(), row, strict=True))
            exact = Fraction(output.scale[c]) * total + Fraction(output.bias[c])
            assert Fraction(float(logits[c])) == exact


@given(st.integers(1, 9), st.integers(-30, 30))
def test_a_canonical_threshold_is_the_same_neuron_in_one_spelling(
    fan_in: int, threshold: int
) -> None:
    rng = np.random.default_rng(threshold + 100 * fan_in)
    layer = HiddenLayer(rng.choice([-1, 1], (1, fan_in)), [threshold])
    canonical = layer.canonical()
    inputs = np.array(list(itertools.product([-1.0, 1.0], repeat=fan_in)))
    assert np.array_equal(layer(inputs), canonical(inputs))
    new = int(canonical.threshold[0])
    assert (new - fan_in) % 2 == 0
    assert -fan_in <= new <= fan_in + 2
    assert np.array_equal(canonical.canonical().threshold, canonical.threshold)
