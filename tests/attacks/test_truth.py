"""Every method against every image: all rules on ties, goals, budgets, sources and heads."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt import AttackInstance, AttackResult, BinarizedNetwork, HiddenLayer, OutputLayer, Status

HEADS = ("integer", "tiny", "huge", "biased", "real")
GOALS = ("margin", "flip", "flip", "linf", "l1", "l0", "margin+0.5*l1", "l0,linf")
TIES = ("lowest", "never", "always")


def make_head(rng: np.random.Generator, kind: str, classes: int, fan_in: int) -> OutputLayer:
    weight, whole = rng.choice([-1, 1], (classes, fan_in)), rng.integers(-2, 3, classes)
    scales = {"integer": 1.0, "tiny": 1e-6, "huge": 2.0**37, "biased": 1.0}
    if kind == "real":
        size = 10.0 ** rng.integers(-6, 7)
        return OutputLayer(weight, size * rng.normal(size=classes), rng.normal(size=classes))
    bias = whole + (2.0**30 * rng.integers(0, 2, classes) if kind == "biased" else 0.0)
    return OutputLayer(weight, np.full(classes, scales[kind]), scales[kind] * bias)


def make_question(seed: int) -> tuple[BinarizedNetwork, np.ndarray, float, dict[str, Any]]:
    """A network of any small shape with thresholds of both parities, and what is asked of it."""
    rng = np.random.default_rng(seed)
    levels, inputs = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    sizes = [inputs, *rng.integers(2, 6, int(rng.integers(1, 4))).tolist()]
    classes, hidden = int(rng.integers(2, 5)), []
    for number, (fan_in, width) in enumerate(itertools.pairwise(sizes)):
        weight = rng.choice([-1, 1], (width, fan_in))
        middle = weight.sum(axis=1) * levels // 2 if number == 0 else 0
        reach = levels if number == 0 else fan_in + 1
        hidden.append(HiddenLayer(weight, middle + rng.integers(-reach, reach + 1, width)))
    output = make_head(rng, HEADS[seed % len(HEADS)], classes, sizes[-1])
    network = BinarizedNetwork(tuple(hidden), output, levels=levels)
    image = rng.integers(0, levels + 1, inputs) / levels
    source = int(network.predict(image)) if rng.random() < 0.7 else int(rng.integers(classes))
    others = [c for c in range(classes) if c != source]
    question: dict[str, Any] = {
        "domain": "pixels",
        "ties": str(rng.choice(TIES)),
        "goal": str(rng.choice(GOALS)),
        "source": source,
        "target": rng.choice(np.array(["runner-up", "untargeted", *others], dtype=object)),
    }
    if rng.random() < 0.25:
        question["max_l1"] = float(rng.integers(0, 2 * levels)) / levels
    if rng.random() < 0.2:
        question["max_pixels"] = int(rng.integers(0, inputs + 1))
    if rng.random() < 0.2:
        question["direction"] = str(rng.choice(["lighten", "darken"]))
    return network, image, float(rng.integers(0, levels + 1)) / levels, question


def admissible(instance: AttackInstance) -> np.ndarray:
    low, high = instance.box
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    points = np.array(list(itertools.product(*ranges)), dtype=np.float64)
    return points[[instance.admits(z / instance.network.levels) for z in points]]


def are_flips(instance: AttackInstance, points: np.ndarray) -> np.ndarray:
    """By the words of the rule, apart from the package's."""
    logits = instance.network.logits_of_levels(points)
    flips = np.zeros(len(points), dtype=bool)
    for c in instance.targets:
        margin = logits[:, c] - logits[:, instance.source]
        wins = instance.ties == "always" or (instance.ties == "lowest" and c < instance.source)
        flips |= (margin > 0) | (wins & (margin == 0))
    return flips


def check(instance: AttackInstance, result: AttackResult, *, is_exact: bool) -> None:
    points = admissible(instance)
    margins, flips = instance.margins(points), are_flips(instance, points)
    goal, z = instance.sought, instance.network.levels_of(result.adversarial)[0]
    assert result.status is not Status.ERROR, result.message
    assert result.verified
    assert any(np.array_equal(z, point) for point in points)
    assert result.flipped == are_flips(instance, z[None])[0]
    assert result.objective == instance.margins(z[None])[0]
    assert result.prediction == instance.network.predict(result.adversarial)
    assert result.bound is None or result.bound >= margins.max()
    assert result.flipped <= flips.any()
    best = max(instance.rank(point) for point in points)
    if goal.needs_flip:
        assert (result.status in (Status.INFEASIBLE, Status.UNKNOWN)) == (not result.flipped)
        assert (None in result.goal_values) == (not result.flipped and bool(goal.stages))
    if result.status is Status.INFEASIBLE:
        assert not flips.any()
    if result.status is Status.OPTIMAL and goal.is_margin:
        assert result.objective == margins.max()
    elif result.status is Status.OPTIMAL and goal.stages:
        assert instance.rank(z)[0] == pytest.approx(best[0], rel=2e-4, abs=2e-5 * _unit(instance))
    if is_exact:
        assert result.status in (Status.OPTIMAL, Status.INFEASIBLE), result.notes


def _unit(instance: AttackInstance) -> float:
    return instance.of_margins.unit if instance.sought.stages[0].is_maximised else 1.0


def ask(seed: int, method: str, *, is_exact: bool, solver: str = "highs") -> None:
    network, image, epsilon, question = make_question(seed)
    if method not in ("milp", "auto") and "max_pixels" in question:
        del question["max_pixels"]
    if method in ("bab", "pattern") and question["goal"] in ("l0", "margin+0.5*l1", "l0,linf"):
        question["goal"] = "flip"
    instance = AttackInstance(network, image, epsilon, **question)
    result = bnnopt.attack(
        network, image, epsilon, method=method, solver=solver, time_limit=30, **question
    )
    check(instance, result, is_exact=is_exact)


@pytest.mark.parametrize("seed", range(120))
def test_branch_and_bound_decides_every_question(seed: int) -> None:
    ask(seed, "bab", is_exact=True)


@pytest.mark.parametrize("seed", range(200, 240))
def test_the_default_method_decides_every_question(seed: int) -> None:
    ask(seed, "auto", is_exact=True)


@pytest.mark.parametrize("seed", range(300, 330))
def test_pattern_search_says_nothing_false(seed: int) -> None:
    ask(seed, "pattern", is_exact=False)


@pytest.mark.parametrize("solver", ["highs", "cbc", "gurobi", "scip"])
@pytest.mark.parametrize("seed", range(400, 410))
def test_the_milp_decides_every_question_on_every_solver(seed: int, solver: str) -> None:
    ask(seed, "milp", is_exact=True, solver=solver)


@pytest.mark.parametrize("seed", range(500, 512))
def test_iprop_says_nothing_false(seed: int) -> None:
    ask(seed, "iprop", is_exact=False)


@pytest.mark.parametrize("method", ["fgsm", "ifgsm", "pgd"])
@pytest.mark.parametrize("seed", range(600, 606))
def test_gradient_attacks_say_nothing_false(seed: int, method: str) -> None:
    ask(seed, method, is_exact=False)


@pytest.mark.parametrize("seed", range(700, 760))
def test_verdicts_are_those_of_all_images(seed: int) -> None:
    network, image, epsilon, question = make_question(seed)
    question |= {"goal": "flip", "target": "untargeted"}
    instance = AttackInstance(network, image, epsilon, **question)
    has_flip = are_flips(instance, admissible(instance)).any()
    asked = {name: question[name] for name in question if name not in ("goal", "target")}
    certificate = bnnopt.certify(network, image, epsilon, time_limit=30, **asked)
    assert certificate.verdict == ("vulnerable" if has_flip else "robust")


def test_a_change_of_the_prediction_at_a_tie_is_a_flip() -> None:
    # The image of this case goes from class 4 to 2, by its lower index, at equal logits.
    images = bnnopt.datasets.embedded()
    network = bnnopt.load_network("fashion-mnist-2x100")
    result = bnnopt.attack(network, images.x(6), 0.006, target="untargeted", time_limit=60)
    assert result.objective == result.bound == 0.0
    assert result.flipped
    assert result.prediction == network.predict(result.adversarial) == 2 != result.source
    verdicts = {
        ties: bnnopt.certify(network, images.x(6), 0.006, ties=ties, time_limit=60).verdict
        for ties in TIES
    }
    assert verdicts == {"lowest": "vulnerable", "never": "robust", "always": "vulnerable"}
