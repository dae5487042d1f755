"""The paper's preset beside the pseudocode of section 4, every subproblem by enumeration."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, IProp
from bnnopt.attacks.base import Limits
from tests.helpers import deepest_slack, random_image, random_network

Pattern = tuple[int, ...]


class Pseudocode:
    """All that the pseudocode may do: whichever of several optima a solver returns.

    What the network makes of a point depends on its first-layer pattern only, so that patterns
    stand for perturbations. Widths below 40 make every step a single neuron.
    """

    def __init__(self, instance: AttackInstance, real: list[Pattern]) -> None:
        self.instance, self.real = instance, real
        self.hidden, self.output = instance.network.hidden, instance.network.output
        (target,), source = instance.targets, instance.source
        self.gain = self.output.weight[target].astype(int) - self.output.weight[source]
        self.bias = self.output.bias[target] - self.output.bias[source]

    def margin(self, pattern: Pattern) -> float:
        return float(self.gain @ self.forward(pattern)[-1] + self.bias)

    def forward(self, pattern: Pattern) -> list[np.ndarray]:
        layers = [np.array(pattern, dtype=float)]
        for layer in self.hidden[1:]:
            layers.append(layer(layers[-1][None])[0])
        return layers

    def local_optima(self, first: Pattern) -> set[float]:
        """The margins at which it may end."""
        seen, left, ends = {first}, [first], set()
        while left:
            pattern = left.pop()
            outcomes = list(self.iterations(pattern))
            if all(any(self.margin(o) <= self.margin(pattern) for o in of) for of in outcomes):
                ends.add(self.margin(pattern))
            better = {o for of in outcomes for o in of if self.margin(o) > self.margin(pattern)}
            left += better - seen
            seen |= better
        return ends

    def iterations(self, pattern: Pattern) -> Iterator[set[Pattern]]:
        """For each neuron that is not ideal, the patterns that asking for it may give."""
        layers = self.forward(pattern)
        ideal = np.sign(self.gain)
        is_ideal = (ideal != 0) & (layers[-1] == ideal)
        for j in np.flatnonzero((ideal != 0) & ~is_ideal):
            asked = np.where(is_ideal, ideal, 0)
            asked[j] = ideal[j]
            targets = {tuple(asked.tolist())}
            for number in range(len(self.hidden) - 1, 0, -1):
                targets = {t for of in targets for t in self.problem_9(number, of, layers)}
            yield {p for of in targets for p in self.problem_10(of)}

    def problem_9(self, number: int, asked: Pattern, layers: list[np.ndarray]) -> list[Pattern]:
        present = layers[number - 1]
        points = list(product((-1, 1), repeat=len(present)))
        signs = self.hidden[number](np.array(points, dtype=float))
        score = [
            (met(asked, found), -int((np.array(point) != present).sum()))
            for point, found in zip(points, signs, strict=True)
        ]
        return [p for p, value in zip(points, score, strict=True) if value == max(score)]

    def problem_10(self, asked: Pattern) -> list[Pattern]:
        most = max(met(asked, np.array(p)) for p in self.real)
        return [p for p in self.real if met(asked, np.array(p)) == most]


def met(asked: Pattern, found: np.ndarray) -> int:
    return int(((np.array(asked) == found) & (found != 0) & (np.array(asked) != 0)).sum())


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    widths=st.sampled_from([(4,), (4, 4), (4, 3, 4), (3, 3, 3, 3)]),
    epsilon=st.floats(0.05, 0.5),
)
def test_the_papers_preset_ends_where_the_pseudocode_may_end(
    seed: int, widths: tuple[int, ...], epsilon: float
) -> None:
    network = random_network(seed, inputs=5, widths=widths)
    instance = AttackInstance(network, random_image(network, seed), epsilon)
    patterns = list(product((-1, 1), repeat=widths[0]))
    slacks = [deepest_slack(instance, np.array(p)) for p in patterns]
    # Patterns with points on a threshold only are solvers' tolerances' to decide.
    assume(not any(-1e-3 < slack < 5e-3 for slack in slacks))
    real = [p for p, slack in zip(patterns, slacks, strict=True) if slack > 0]
    first = tuple(network.activations(instance.image)[0].tolist())
    result = IProp.paper()(instance, Limits(seed=seed % 7))
    assert result.objective in Pseudocode(instance, real).local_optima(first)
