"""Two checkers, of which one was written from docs/proofs.md alone, give one verdict."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.proof import check, tree
from tests.kinds import FIRST, HEADS, network_of
from tests.proof import cases, second_checker, test_mutations

CHANGES = 600

DEEPER: list[tuple[str, ...]] = [
    (),
    ("dense",),
    ("ternary",),
    ("dense", "pool"),
    ("copies", "dense"),
]

# What a header may not say, and what it may: both checkers read the same of each.
SAYINGS: dict[str, list[Any]] = {
    "epsilon": ["0.01", " 1/7", "2/14", "1/0", "-1/7", "1_0/70", 0, 1, None, "7"],
    "l1": ["0.5", "2/4", "1/0", "-1/7", 1, True, "1"],
    "domain": [None, "Pixels"],
    "direction": [None, "up"],
    "ties": [None, "Lowest"],
    "claim": [None, "optimal"],
    "fixed": [[-1], [99], [0, 0], [True], [0.0], ["0"], [None], {}, "0", None, [1, 0]],
    "source": [True, 1.0, "1", -1, 99],
    "targets": [[1, 1], [True], [-1], [99], {}, "1", [2, 1]],
    "bound": [3, 3.0, "3.0", "6/2", "+3", "1e1", "99", None],
    "witness": [[[-1, 0]], [[0, 1], [0, 2]], [[True, 1]], [[0, 1.0]], [[0]], [[0, -1]], {}, ""],
    "more": [1],
}


def verdict(checker: Callable[..., str], *files: Any) -> str | None:
    try:
        return checker(*files)
    except (check.Rejected, second_checker.Rejected):
        return None


def verdicts(network: BinarizedNetwork, image: Any, lines: list[str]) -> tuple[Any, Any]:
    """What each checker says that a proof proves; None where it is rejected."""
    file, npy = network.with_rows().to_bytes(), cases.npy(image)
    first = verdict(check.check, io.BytesIO(file), npy, cases.zipped(lines))
    files = io.BytesIO(file), io.BytesIO(npy), cases.zipped(lines)
    return first, verdict(second_checker.check, *files)


def test_both_accept_proofs_of_all_kinds_and_say_the_same() -> None:
    kinds = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        network = network_of(seed, FIRST[seed % 5], DEEPER[seed % 7 % 5], HEADS[seed % 4])
        image = rng.integers(0, network.levels + 1, network.num_inputs) / network.levels
        domain = ["continuous", "pixels"][seed % 2]
        if domain == "continuous" and seed % 3:
            image = rng.random(network.num_inputs)
        mask = rng.random(network.num_inputs) < 0.8
        options = {
            "epsilon": ["1/7", "2/7", "0.3", "0.0123", "0"][rng.integers(5)],
            "domain": domain,
            "direction": ["both", "lighten", "darken"][rng.integers(3)],
            "goal": ["margin", "flip"][rng.integers(2)],
            "target": ["runner-up", "untargeted"][rng.integers(2)],
            "ties": ["lowest", "never", "always"][rng.integers(3)],
            "max_l1": [None, "1/7", "0.55"][rng.integers(3)],
            "mask": mask if mask.any() and seed % 2 else None,
        }
        lines = cases.proof_of(network, image, **options)
        if lines is not None:
            first, second = verdicts(network, image, lines)
            assert first is not None and first == second
            kinds.add((cases.header(lines)["claim"], domain, options["max_l1"] is None))
    assert len(kinds) >= 8


@pytest.mark.parametrize(("name", "epsilon"), [("2x100", "0.005"), ("3x100", "0.003")])
def test_both_accept_proofs_of_shipped_networks(name: str, epsilon: str) -> None:
    network, images = bnnopt.zoo.load(f"fashion-mnist-{name}"), bnnopt.datasets.embedded()
    for index in (0, 1):
        lines = cases.proof_of(network, images.x(index), epsilon=epsilon)
        assert lines is not None
        first, second = verdicts(network, images.x(index), lines)
        assert first is not None and first == second


def test_changed_proofs_have_one_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "OWN", 2)
    monkeypatch.setattr(tree, "INHERITED", 0)
    bases, rng, accepted = test_mutations.bases(), np.random.default_rng(1), 0
    for _ in range(CHANGES):
        network, image, new = bases[rng.integers(len(bases))]
        for _ in range(rng.integers(1, 4)):
            change = test_mutations.MUTATIONS[rng.integers(len(test_mutations.MUTATIONS))]
            new = change(rng, new)
        first, second = verdicts(network, image, new)
        assert first == second, new
        accepted += first is not None
    assert 50 < accepted < CHANGES / 2


def test_both_read_the_network_that_bnnopt_has() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        weight = rng.random((2, 4))
        if seed % 2:  # sums next to a power of two
            weight *= (1 - rng.integers(0, 5) * 2.0**-53) / weight.sum(axis=1, keepdims=True)
        head = OutputLayer(weight, [1, 1 if seed % 2 else -0.3], [0, 0 if seed % 2 else 0.1])
        first = HiddenLayer(rng.integers(-3, 4, (4, 3)), rng.integers(-9, 9, 4))
        network = BinarizedNetwork((first,), head)
        known = check.Network(io.BytesIO(network.to_bytes()))
        again = second_checker.read_network(io.BytesIO(network.to_bytes()))
        assert known.digest == again.digest
        exact = network.output.weight * network.output.scale[:, None]
        assert [[w * known.unit for w in row] for row in known.head] == exact.tolist()


def beside_levels(rng: np.random.Generator, levels: int) -> Any:
    """Pixels of float32 up to two numbers away from levels."""
    pixels = (rng.integers(0, levels + 1, 3) / levels).astype(np.float32)
    for _ in range(rng.integers(3)):
        pixels = np.nextafter(pixels, np.float32(rng.choice([-1.0, 2.0])))
    return pixels


def test_both_have_the_same_box() -> None:
    for seed in range(400):
        rng = np.random.default_rng(seed)
        levels = [255, 7, 1][seed % 3]
        network = bnnopt.BinarizedNetwork(
            (HiddenLayer([[1, -1, 1]], [5]),),
            OutputLayer([[1], [-1]], [1, 1], [0, 0]),
            levels=levels,
        )
        image = [
            rng.random(3),
            rng.integers(0, levels + 1, 3) / levels,
            rng.integers(0, levels + 1, 3),
            rng.integers(0, 2**22, 3) * 2.0**-22,  # half a step
            beside_levels(rng, levels),
        ][rng.integers(5)]
        about = {
            "epsilon": ["0", "1/255", "1/7", "1/10000000000", "1", "2"][rng.integers(6)],
            "l1": [None, "1/100", "0", "1/3"][rng.integers(4)],
            "direction": ["both", "lighten", "darken"][rng.integers(3)],
            "domain": ["continuous", "pixels"][rng.integers(2)],
            "fixed": rng.permutation(3)[: rng.integers(3)].tolist(),
        }
        npy = cases.npy(image)
        boxes: list[Any] = []
        try:
            box = check.Box(check.Network(io.BytesIO(network.to_bytes())), npy, about)
            boxes.append((box.image, box.low, box.high, box.budget))
        except check.Rejected:
            boxes.append(None)
        try:
            again = second_checker.read_box(io.BytesIO(npy), levels, about)
            sides = [side.tolist() for side in (again.image, again.low, again.high)]
            boxes.append((*sides, again.budget))
        except second_checker.Rejected:
            boxes.append(None)
        assert boxes[0] == boxes[1], about


def small() -> tuple[BinarizedNetwork, Any, list[str]]:
    """A proof that takes a cut, a function and a branch."""
    first = HiddenLayer([[1, -1, 1], [1, 1, -1], [-1, 1, 1], [1, 1, 1]], [101, 100, 99, 300])
    head = OutputLayer([[1, -1, 1, 1], [-1, 1, -1, 1]], [1, 1], [0, 1])
    network, image = BinarizedNetwork((first,), head), np.array([100, 101, 100])
    about = cases.header(cases.proof_of(network, image, epsilon="2/255") or [])
    about |= {"claim": "margin", "bound": "7", "witness": [], "targets": [1 - about["source"]]}
    numbers = "0 0 0 0 0 0 0 0"
    tail = ["branch 0", "search", f"function -40 {numbers}", "search", "end"]
    return network, image, [json.dumps(about), f"target {about['targets'][0]}", *tail]


def test_both_read_the_same_of_a_header() -> None:
    network, image, lines = small()
    assert verdicts(network, image, lines)[0] is not None
    plain = cases.header(lines)
    claims = [plain, plain | {"claim": "robust", "bound": None, "witness": None}]
    claims.append(
        plain | {"claim": "flip", "source": plain["targets"][0], "targets": [plain["source"]]}
    )
    rejected = 0
    for about in claims:
        for key, values in SAYINGS.items():
            without = {k: v for k, v in about.items() if k != key}
            for changed in [without, *(about | {key: value} for value in values)]:
                tail = ["end"] if changed.get("claim") == "flip" else lines[1:]
                first, second = verdicts(network, image, [json.dumps(changed), *tail])
                assert first == second, changed
                rejected += first is None
    assert rejected > 100


def test_pixels_that_are_fixed_are_pixels() -> None:
    network, image, lines = small()
    strange: list[Any] = [[-1], [3], [0, 0], [0.5], [None], ["0"], {}, "12"]
    for fixed in strange:
        changed = cases.with_header(lines, fixed=fixed)
        assert verdicts(network, image, changed) == (None, None)


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("search ", True),
        ("search  ", False),
        ("search 1", False),
        (" search", False),
        ("search\t", False),
        ("search\r", False),
        ("Search", False),
        ("branch 0 1", False),
        ("branch", False),
        ("branch +0", False),
        ("branch 0_0", False),
        ("branch 9", False),
        ("function", False),
        ("function 99 0 0 0 0 0 0 0 0", False),
        ("function 0 0 0 0 0 0 0 0", False),
        ("cut", False),
        ("cut 0 0", False),
        ("cut 0*0 1", False),
        ("cut 0*-1 1", False),
        ("cut 0*1*2 1", False),
        ("cut --0 1", False),
        ("cut 0- 1", False),
    ],
)
def test_both_read_the_same_of_a_line(line: str, good: bool) -> None:
    network, image, lines = small()
    at = lines.index("search")
    first, second = verdicts(network, image, [*lines[:at], line, *lines[at + 1 :]])
    assert first == second and (first is not None) == good
    more = [*lines[:at], *([line] if not good else []), *lines[at:]]
    first, second = verdicts(network, image, more)
    assert first == second and (first is not None) == good


def test_both_close_flips_in_the_order_of_cuts() -> None:
    # Of a cut whose other neuron must not be open: it waits until the next look at all cuts.
    node = np.zeros(3, dtype=bool)
    cuts = second_checker.Cuts(np.eye(3, dtype=bool)[:2], np.roll(np.eye(3, dtype=bool), 1, 1)[:2])
    root = second_checker.Node(node, ~node, np.zeros((3, 3), dtype=bool), cuts)
    assert root.looked().open.tolist() == [True, True, True]
    chosen, without = root.branch(2)
    assert chosen.open.tolist() == [True, True, False]
    assert without.open.tolist() == [True, True, False]  # not looked at yet
    looked = without.looked()
    assert looked.open.tolist() == [True, False, False]
    assert looked.looked().open.tolist() == [False, False, False]
