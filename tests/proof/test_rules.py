"""Each rule of the checker alone, against enumeration, with advice that nobody thought about."""

from __future__ import annotations

import io
import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.network import GRID
from bnnopt.proof import check
from tests.helpers import exact_logits, random_network
from tests.kinds import HEADS, admissible, network_of
from tests.proof.cases import npy

FIRST = ("dense", "ternary", "cuts", "whole")
DEEPER: list[tuple[str, ...]] = [(), ("dense",), ("ternary", "dense"), ("dense", "pool")]


def read(network: BinarizedNetwork) -> Any:
    return check.Network(io.BytesIO(network.to_bytes()))


def about(**changes: Any) -> dict[str, Any]:
    plain = {"epsilon": "1/5", "domain": "pixels", "direction": "both", "fixed": [], "l1": None}
    return plain | changes


def case(seed: int, **changes: Any) -> tuple[BinarizedNetwork, np.ndarray, Any, Any]:
    """A network, an image of whole levels, and both as the checker has them."""
    rng = np.random.default_rng(seed)
    network = network_of(seed, FIRST[seed % 4], DEEPER[rng.integers(4)], HEADS[rng.integers(4)])
    image = rng.integers(0, network.levels + 1, network.num_inputs) / network.levels
    known = read(network)
    changes = {"epsilon": f"2/{network.levels}"} | changes
    return network, image, known, check.Box(known, npy(image), about(**changes))


def aimed(known: Any, box: Any, target: int) -> Any:
    """The margin of a target over class 0."""
    margin = check.Margin(known, box)
    margin.aim(known, 0, target)
    return margin


def images_of(network: BinarizedNetwork, image: np.ndarray, box: Any) -> np.ndarray:
    instance = AttackInstance(network, image, f"2/{network.levels}", domain="pixels")
    points = admissible(instance)
    moved = np.abs(points - np.array(box.image)).sum(axis=1)
    return points if box.budget is None else points[moved <= box.budget]


def flips_of(network: BinarizedNetwork, box: Any, z: np.ndarray) -> frozenset[int]:
    """Those that an image makes."""
    signs = network.hidden[0](z[None])[0]
    return frozenset(j for j in range(len(signs)) if (signs[j] > 0) != bool(box.on[j]))


@pytest.mark.parametrize("seed", range(40))
def test_every_image_of_the_box_has_flips_of_neurons_that_may_and_their_margin(seed: int) -> None:
    network, image, known, box = case(seed, l1=None if seed % 3 else f"3/{4 + seed % 4}")
    margins = {c: aimed(known, box, c) for c in (1, 2)}
    for z in images_of(network, image, box):
        flips = flips_of(network, box, z)
        assert flips <= set(box.row)
        logits = exact_logits(network, [Fraction(x) for x in z])
        for c, margin in margins.items():
            packed = margin.packed + sum(margin.moved[j] for j in flips)
            assert margin.of(packed) * known.unit == logits[c] - logits[0]


@pytest.mark.parametrize("seed", range(40))
def test_a_cut_that_is_accepted_forbids_no_image(seed: int) -> None:
    network, image, _, box = case(seed, l1=None if seed % 2 else f"2/{4 + seed % 4}")
    rng, accepted = np.random.default_rng(seed), 0
    found = {flips_of(network, box, z) for z in images_of(network, image, box)}
    for _ in range(200 if box.row else 0):
        some = rng.permutation(list(box.row))[: rng.integers(1, 4)]
        words = [f"{'-' * (rng.random() < 0.3)}{j}*{rng.integers(1, 4)}" for j in some]
        try:
            made, kept = box.cut(words)
        except check.Rejected:
            continue
        accepted += 1
        assert not any(made <= flips and not kept & flips for flips in found)
    assert accepted or len(found) > 2 ** len(box.row) / 4 or not box.row


@pytest.mark.parametrize("seed", range(60))
def test_a_function_of_any_numbers_lies_above_the_margin_and_stays_there(seed: int) -> None:
    _, _, known, box = case(seed)
    margin, rng = aimed(known, box, 1), np.random.default_rng(seed)
    node = check.Node(margin, 0, [])
    for a, b in itertools.combinations(box.row, 2):
        if rng.random() < 0.2:
            node.cuts.append((frozenset({a, b}), frozenset()))
    node.apply()
    largest = max([1, *map(abs, margin.gain)])
    bits = int(rng.integers(-4, 5)) + 6 - largest.bit_length()
    count = 2 * len(margin.surplus) + sum(len(rows) for rows, *_ in margin.layers[1:])
    node.take_function(bits, rng.integers(-30, 31, count).tolist())
    for _ in range(3):
        for size in range(len(node.open) + 1):
            for some in itertools.combinations(node.open, size):
                if any(b in node.apart[a] for a, b in itertools.combinations(some, 2)):
                    continue
                bound = node.value + sum(node.single[j] for j in some)
                bound += sum(node.pair[a][b] for a, b in itertools.combinations(some, 2))
                exact = margin.of(node.packed + sum(margin.moved[j] for j in some))
                assert bound >= exact * Fraction(2) ** bits
        if not node.open:
            break
        beside = node.branch(node.open[int(rng.integers(len(node.open)))])
        node = beside if rng.random() < 0.5 else node


@pytest.mark.parametrize("seed", range(40))
def test_a_leaf_is_closed_only_if_cuts_forbid_every_set_that_is_wanted(seed: int) -> None:
    _, _, known, box = case(seed)
    margin, rng = aimed(known, box, 1), np.random.default_rng(seed)
    values = {}
    for size in range(len(box.row) + 1):
        for some in itertools.combinations(box.row, size):
            values[frozenset(some)] = margin.of(margin.packed + sum(margin.moved[j] for j in some))
    wanted = sorted(set(values.values()))[-1 - int(rng.integers(min(3, len(set(values.values())))))]
    cuts = []
    for flips, value in values.items():
        if value >= wanted and rng.random() < 0.8:
            cuts.append((flips, frozenset(box.row) - flips))
    node = check.Node(margin, wanted, list(cuts))
    if rng.random() < 0.5:
        count = 2 * len(margin.surplus) + sum(len(rows) for rows, *_ in margin.layers[1:])
        node.take_function(8 - max([1, *map(abs, margin.gain)]).bit_length(), [0] * count)
    left = [flips for flips, value in values.items() if value >= wanted]
    left = [f for f in left if not any(a <= f and not b & f for a, b in cuts)]
    if left:
        with pytest.raises(check.Rejected, match="wanted and not cut"):
            node.search()
    else:
        node.search()


@pytest.mark.parametrize("domain", ["continuous", "pixels"])
def test_the_box_is_the_instances(domain: Any) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        network = random_network(seed, levels=255)
        image = rng.integers(0, 256, 4) / 255
        options: dict[str, Any] = {
            "epsilon": ["0.01", "0.1", "8/255", "1/3", "0"][seed % 5],
            "direction": ["both", "lighten", "darken"][seed % 3],
            "domain": domain,
        }
        fixed = rng.permutation(4)[: seed % 3].tolist()
        mask = ~np.isin(np.arange(4), fixed)
        l1 = [None, "0.3", "1/255"][seed % 3]
        instance = AttackInstance(network, image, **options, mask=mask, max_l1=l1)
        box = check.Box(read(network), npy(image), about(**options, fixed=fixed, l1=l1))
        level = GRID if domain == "continuous" else 1
        assert box.low == [int(x * level) for x in instance.box[0]]
        assert box.high == [int(x * level) for x in instance.box[1]]
        assert box.budget == (None if l1 is None else int(instance.l1_levels * level))
        whole = np.round(image * 255).astype(np.uint8)
        again = check.Box(read(network), npy(whole), about(**options, fixed=fixed, l1=l1))
        assert (again.low, again.high, again.image) == (box.low, box.high, box.image)


def test_heads_of_real_numbers_are_on_the_networks_grid() -> None:
    for seed in range(30):
        network = network_of(seed, "dense", ("dense",), ["real", "batchnorm"][seed % 2])
        known, output = read(network), network.output
        weight = output.weight * output.scale[:, None]
        assert [[w * known.unit for w in row] for row in known.head] == weight.tolist()
        assert [b * known.unit for b in known.bias] == output.bias.tolist()


def parts_of(network: BinarizedNetwork) -> dict[str, Any]:
    """The arrays of its file."""
    with np.load(io.BytesIO(network.to_bytes())) as arrays:
        return dict(arrays)


def read_parts(parts: dict[str, Any]) -> Any:
    stream = io.BytesIO()
    np.savez(stream, **parts)
    return check.Network(stream)


def test_networks_that_are_not_of_whole_numbers_in_their_places_are_rejected() -> None:
    parts = parts_of(network_of(1, "ternary", ("dense",), "integer"))
    assert read_parts(parts).digest == read(network_of(1, "ternary", ("dense",), "integer")).digest
    columns, ends, needs = parts["indices_1"], parts["indptr_1"], parts["threshold_1"]
    beyond, before, twice, back = columns.copy(), columns.copy(), columns.copy(), ends.copy()
    beyond[0], before[-1] = 99, -1
    row = int(np.argmax(np.diff(ends) > 1))
    twice[ends[row] + 1] = twice[ends[row]]
    back[1], back[2] = ends[2], ends[1]
    for changes in (
        {"data_1": parts["data_1"].astype(np.float64)},
        {"data_1": parts["data_1"][:-1]},
        {"indices_1": columns.astype(np.float64)},
        *({"indices_1": wrong} for wrong in (beyond, before, twice)),
        {"indptr_1": ends[:-1]},
        {"indptr_1": back},
        {"threshold_1": needs.astype(np.float64)},
        {"threshold_1": needs[:-1]},
        {"threshold_2": np.append(parts["threshold_2"], 0)},
        {"weight_2": parts["weight_2"][:-1]},
        {"output_bias": parts["output_bias"][:-1]},
        {"output_scale": parts["output_scale"][:1]},
        {"output_scale": parts["output_scale"] * np.nan},
    ):
        with pytest.raises((check.Rejected, ValueError, IndexError, TypeError)):
            read_parts(parts | changes)


def claim(known: Any, box: Any, **changes: Any) -> tuple[str, dict[int, int]]:
    plain = {"source": 0, "targets": [1, 2], "claim": "robust", "ties": "lowest", "bound": None}
    return check.claim_of(known, box, about() | plain | {"witness": []} | changes)


def test_a_claim_is_about_classes_of_the_network_that_differ() -> None:
    _, _, known, box = case(0)
    assert claim(known, box)[1] == {1: 1, 2: 1}
    for classes in (
        *(
            {"targets": targets}
            for targets in ([], [0], [0, 1], [3], [1, 3], [-1], [1, True], [1.0])
        ),
        *({"source": source} for source in (1, 2, 3, -1, 0.0, None)),
    ):
        with pytest.raises(check.Rejected, match="no list|places"):
            claim(known, box, **classes)


def test_targets_that_win_ties_are_denied_a_margin_of_0() -> None:
    _, _, known, box = case(0)
    for source, targets in ((1, [0, 2]), (2, [0, 1])):
        for ties in ("lowest", "never", "always"):
            _, least = claim(known, box, source=source, targets=targets, ties=ties)
            wins = {"lowest": [c < source for c in targets], "never": [], "always": [1, 1]}[ties]
            assert least == {c: 0 if any(wins[i : i + 1]) else 1 for i, c in enumerate(targets)}
    with pytest.raises(KeyError):
        claim(known, box, ties="sometimes")


@pytest.mark.parametrize("seed", range(12))
def test_what_a_bound_denies_begins_right_above_it(seed: int) -> None:
    network, _, known, box = case(seed)
    logits = exact_logits(network, [Fraction(x) for x in box.image])
    best = Fraction(max(logits[1:])) - Fraction(logits[0])
    for bound in (best, best + known.unit, *(best + known.unit * Fraction(n, 3) for n in range(4))):
        said, least = claim(known, box, claim="margin", bound=str(bound))
        assert said.endswith(f"; one gives {best}")
        for margin in least.values():
            assert margin * known.unit > bound >= (margin - 1) * known.unit
    with pytest.raises(check.Rejected, match="unknown claim"):
        claim(known, box, claim="margins", bound="0")


def test_witnesses_are_images_of_the_box_and_flips() -> None:
    flips = 0
    for seed in range(30):
        network, image, known, box = case(seed, l1=None if seed % 2 else f"1/{4 + seed % 4}")
        inside = {tuple(z) for z in images_of(network, image, box).astype(int).tolist()}
        rng = np.random.default_rng(seed)
        for _ in range(20):
            z = rng.integers(0, network.levels + 1, network.num_inputs).tolist()
            z = [x if rng.random() < 0.4 else y for x, y in zip(z, box.image, strict=True)]
            witness = [[i, x] for i, x in enumerate(z)]
            logits = exact_logits(network, [Fraction(x) for x in z])
            if tuple(z) not in inside:
                with pytest.raises(check.Rejected, match="beyond the budget"):
                    claim(known, box, claim="flip", witness=witness)
            elif max(logits[1:]) > logits[0]:
                said, least = claim(known, box, claim="flip", witness=witness)
                assert said.startswith("one ") and least == {}
                flips += 1
            else:
                with pytest.raises(check.Rejected, match="no flip"):
                    claim(known, box, claim="flip", witness=witness)
    assert flips > 20


def test_branches_leave_both_sides_to_be_closed() -> None:
    closed = 0
    for seed in range(40):
        _, _, known, box = case(seed)
        for new in box.row:
            margin = aimed(known, box, 1)
            packed = [margin.packed]
            for j in box.row:
                packed += [fields + margin.moved[j] for fields in packed]
            most = max(map(margin.of, packed))
            lines = ["after", "search", "search", f"branch {new}"]
            check.Node(margin, most + 1, []).close(box, lines)
            assert lines == ["after"]
            for wanted, given in ((most, ["search", "search"]), (most + 1, ["search"])):
                with pytest.raises((check.Rejected, IndexError)):
                    check.Node(margin, wanted, []).close(box, [*given, f"branch {new}"])
            with pytest.raises(check.Rejected, match="not open here"):
                check.Node(margin, most, []).close(box, [f"branch {new}", f"branch {new}"])
            closed += 1
    assert closed > 20


@pytest.mark.parametrize(("largest", "room"), [(1, 1), (100, 2), (20_000, 3)])
def test_surpluses_of_any_size_have_room_in_their_fields(largest: int, room: int) -> None:
    """Also of 128 to 255, and of 32,768 to 65,535, where a field needs one bit more."""
    rng, sizes = np.random.default_rng(largest), set()
    for _ in range(20):
        first = rng.choice([-1, 1], (4, 3))
        deeper = [rng.integers(-largest, largest + 1, shape) for shape in ((3, 4), (3, 3))]
        layers = [HiddenLayer(first, np.ceil(first @ [3.5, 3.5, 3.5]))]
        layers += [HiddenLayer(weight, rng.integers(-2, 3, 3)) for weight in deeper]
        head = OutputLayer(rng.choice([-1, 1], (3, 3)), np.ones(3), np.zeros(3))
        network, image = BinarizedNetwork(tuple(layers), head, levels=7), np.array([3, 4, 3]) / 7
        known = read(network.with_rows())
        box = check.Box(known, npy(image), about(epsilon="3/7"))
        margin = aimed(known, box, 1)
        sizes |= {size for _, _, _, _, size, _, _ in margin.layers}
        for z in itertools.product(range(8), repeat=3):
            if all(a <= x <= b for a, x, b in zip(box.low, z, box.high, strict=True)):
                flips = flips_of(network, box, np.array(z, dtype=float))
                logits = exact_logits(network, [Fraction(x) for x in z])
                packed = margin.packed + sum(margin.moved[j] for j in flips)
                assert margin.of(packed) * known.unit == logits[1] - logits[0]
    assert max(sizes) == room
