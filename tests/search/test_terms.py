"""The margin as a function of the flips, against the network itself, of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.search import terms as terms_module
from bnnopt.search.problem import LANES, MarginTerms
from bnnopt.search.space import Space, neuron_space, space_of
from bnnopt.search.terms import margin_terms, without_idle
from tests.helpers import random_image, random_network
from tests.kinds import instance_of, network_of, networks
from tests.search.cases import layers_of, margin_at, subsets

seeds = st.integers(0, 10**6)
shapes = st.sampled_from([(6,), (6, 4), (6, 3, 5), (6, 5, 3, 4)])
domains: Any = st.sampled_from(["continuous", "pixels"])


def flip_sets(space: Space, seed: int) -> np.ndarray:
    """Of rows that may be made together, shape (count, rows); not all if there are many."""
    k = len(space.region.demand) - space.region.always
    sets = np.array([np.isin(np.arange(k), members) for members in subsets(range(k))])
    apart = space.region.excludes[:k, :k]
    together = [not (apart & row & row[:, None]).any() for row in sets]
    sets = sets[together]
    some = np.random.default_rng(seed).permutation(len(sets))[:80]
    always = np.ones((len(some), space.region.always), dtype=bool)
    return np.hstack([sets[some], always])


def check(instance: AttackInstance, space: Space, seed: int) -> dict[int, MarginTerms]:
    """The margins of flip sets are those of their signs, in the layers after the first."""
    network, sets = instance.network, flip_sets(space, seed)
    values = space.origin + sets.astype(float) @ space.shift
    assert np.isin(values, [-1.0, 1.0]).all()
    for layer in network.hidden[1:]:
        values = layer(values)
    logits = network.output(values)
    found = margin_terms(instance, space.origin, space.shift)
    assert found is not None
    assert list(found) == list(instance.targets)
    for target, terms in found.items():
        margins = (logits[:, target] - logits[:, instance.source]) / instance.of_margins.unit
        assert terms.change.shape == (sets.shape[1], len(terms.surplus))
        assert terms.step == np.abs(terms.change).max(initial=0.0)
        fewer = without_idle(terms)
        for row, expected in zip(sets, margins.tolist(), strict=True):
            members = tuple(np.flatnonzero(row).tolist())
            assert margin_at(terms, members) == pytest.approx(expected, abs=1e-9)
            assert margin_at(fewer, members) == margin_at(terms, members)
    return found


@settings(max_examples=80)
@given(network=networks, seed=seeds, domain=domains, budget=st.sampled_from([None, "4/7"]))
def test_the_margin_of_each_flip_set_is_that_of_its_signs_in_networks_of_every_kind(
    network: BinarizedNetwork, seed: int, domain: Any, budget: Any
) -> None:
    instance = instance_of(network, seed, domain=domain, max_l1=budget, target="untargeted")
    check(instance, space_of(instance), seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terms_module, "LARGEST_COPIES", 0)  # neurons more, that cannot turn
        check(instance, neuron_space(instance), seed)


@settings(max_examples=40)
@given(seed=seeds, widths=shapes, domain=domains)
def test_the_margin_of_each_flip_set_is_that_of_its_signs_whatever_the_parity_of_thresholds(
    seed: int, widths: tuple[int, ...], domain: Any
) -> None:
    levels = [1, 3, 7, 255][seed % 4]
    head = "batchnorm" if seed % 3 == 0 else "integer"
    network = random_network(seed, inputs=5, widths=widths, levels=levels, head=head)
    rng = np.random.default_rng(seed)
    deeper = [
        HiddenLayer(layer.weight, layer.threshold + rng.integers(0, 2, len(layer.threshold)))
        for layer in network.hidden[1:]
    ]  # of either parity, as files may have them
    hidden = (network.hidden[0], *deeper)
    network = BinarizedNetwork(hidden, network.output, levels=levels)
    image = random_image(network, seed)
    instance = AttackInstance(network, image, 0.4, domain=domain, target="untargeted")
    check(instance, space_of(instance), seed)


@settings(max_examples=30)
@given(seed=seeds, deeper=st.integers(1, 2), sign=st.sampled_from([-1, 1]))
def test_where_all_later_layers_are_stable_the_margin_is_the_same_everywhere(
    seed: int, deeper: int, sign: int
) -> None:
    network = network_of(seed, "ternary", ["dense"] * deeper)
    stable = [HiddenLayer(layer.weight, 0 * layer.threshold - 99) for layer in network.hidden[1:]]
    if sign < 0:
        stable[-1] = HiddenLayer(stable[-1].weight, 0 * stable[-1].threshold + 99)
    hidden = (network.hidden[0], *stable)
    network = BinarizedNetwork(hidden, network.output, levels=network.levels)
    instance = instance_of(network, seed, target="untargeted")
    space = space_of(instance)
    for terms in check(instance, space, seed).values():
        assert np.diff(terms.start).tolist() == [1] * deeper  # arrays are never empty
        margins = {margin_at(terms, members) for members in subsets(range(len(space.neurons)))}
        assert len(margins) == 1


@settings(max_examples=40)
@given(network=networks, seed=seeds)
def test_only_neurons_that_flips_could_turn_are_kept(network: BinarizedNetwork, seed: int) -> None:
    instance = instance_of(network, seed)
    space = space_of(instance)
    found = margin_terms(instance, space.origin, space.shift)
    assert found is not None
    for terms in found.values():
        low = terms.surplus + np.minimum(terms.change, 0.0).sum(axis=0)
        high = terms.surplus + np.maximum(terms.change, 0.0).sum(axis=0)
        assert len(low) == 1 or ((low < 0) & (high >= 0)).all()
        for weight, needed in layers_of(terms):
            low, high = np.minimum(weight, 0.0).sum(axis=1), np.maximum(weight, 0.0).sum(axis=1)
            assert len(low) == 1 or ((low < needed) & (high >= needed)).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_layer_of_one_neuron_that_is_stable_is_kept(sign: int) -> None:
    network = network_of(5, "ternary", ["dense"])
    width = network.widths[-1]
    one = HiddenLayer(np.ones((1, width), dtype=int), [-99 * sign])
    head = OutputLayer(np.array([[1.0], [-1.0], [1.0]]), np.ones(3), np.zeros(3))
    network = BinarizedNetwork((*network.hidden, one), head, levels=network.levels)
    instance = instance_of(network, 5, target="untargeted")
    for terms in check(instance, space_of(instance), 5).values():
        assert len(terms.gain) == 1


@pytest.mark.parametrize("seed", [3, 5, 7, 9])
@pytest.mark.parametrize("widths", [(6,), (6, 20), (6, 40), (6, 40, 33)])
def test_large_layers_have_neurons_more_that_all_targets_can_share(
    widths: tuple[int, ...], seed: int
) -> None:
    network = random_network(seed, inputs=5, widths=widths)
    instance = AttackInstance(network, random_image(network, seed), 0.1, target="untargeted")
    space = space_of(instance)
    before = next(iter(check(instance, space, 0).values()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terms_module, "LARGEST_COPIES", 0)
        found = next(iter(check(instance, space, 0).values()))
    counts = np.diff(before.start).tolist(), np.diff(found.start).tolist()
    few, more = counts[0][0], counts[1][0]
    assert more == min(-(-few // LANES) * LANES, (widths[1:] or widths)[0])
    for width, count in zip(widths[1:] or widths, counts[1], strict=True):
        assert count % LANES == 0 or count == width


def terms_of(gain: list[float], deep: bool) -> MarginTerms:
    """Three neurons in the last layer."""
    head = OutputLayer(np.array([[0.0] * 3, gain]), np.ones(2), np.zeros(2))
    one = HiddenLayer(csr_array(np.eye(3, dtype=int)), np.zeros(3))
    first = HiddenLayer(csr_array(np.eye(3, dtype=int)), np.full(3, 2))
    hidden = (first, one, one) if deep else (first, one)
    network = BinarizedNetwork(hidden, head, levels=4)
    instance = AttackInstance(network, [0.5] * 3, 0.5, target=1, source=0)
    space = space_of(instance)
    found = margin_terms(instance, space.origin, space.shift)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("deep", [False, True])
def test_neurons_that_count_nothing_are_left_out_but_for_one_if_all_do(deep: bool) -> None:
    for gain, left in (([1, -1, 1], 3), ([1, 0, -1], 2), ([0, 0, 1], 1), ([0, 0, 0], 1)):
        terms = terms_of([float(g) for g in gain], deep)
        fewer = without_idle(terms)
        assert np.diff(fewer.start).tolist() == ([3, left] if deep else [left])
        assert len(fewer.needed) == fewer.start[-1]
        assert len(fewer.weight) == fewer.block[-1] == (3 * left if deep else 0)
        assert len(fewer.surplus) == (3 if deep else left) == fewer.change.shape[1]
        assert fewer.change.flags.c_contiguous
        for members in subsets(range(3)):
            assert margin_at(fewer, members) == margin_at(terms, members)


def test_what_is_too_large_is_not_made_and_what_is_large_is_shared() -> None:
    instance = instance_of(network_of(4, "dense", ("dense",)), 4)
    space = space_of(instance)
    found = margin_terms(instance, space.origin, space.shift)
    assert found is not None
    (terms,) = found.values()
    idle = terms._replace(gain=np.zeros(len(terms.gain)))
    size = terms.change.size
    assert size > 1
    for patch_of, most, is_made in (
        ("LARGEST_TERMS", size, True),
        ("LARGEST_TERMS", size - 1, False),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(terms_module, patch_of, most)
            assert (margin_terms(instance, space.origin, space.shift) is not None) == is_made
    for most, is_shared in ((size - 1, True), (size, False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(terms_module, "LARGEST_COPIES", most)
            assert (without_idle(idle) is idle) == is_shared
