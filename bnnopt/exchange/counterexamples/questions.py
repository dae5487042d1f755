"""A case of a property as attack instances: each asks for a flip within the case's box."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from bnnopt.errors import InputError
from bnnopt.exchange.counterexamples.literals import (
    Literal,
    all_of_each,
    literal_of,
    one_of_each,
)
from bnnopt.exchange.vnnlib import Case, Choice, Difference, Property
from bnnopt.instance import AttackInstance
from bnnopt.margins import Ties
from bnnopt.network import BinarizedNetwork

__all__ = ["Range", "check_fit", "input_range", "questions_of"]

Range = tuple[Fraction, Fraction]
"""What a network's file takes for pixels 0 and 1."""

USUAL = ((0, 1), (0, 255), (-1, 1))


def input_range(cases: Iterable[Case]) -> Range:
    """The first of [0, 1], [0, 255] and [-1, 1] that all boxes fit in; else the smallest range."""
    lowest = min(min(case.low) for case in cases)
    highest = max(max(case.high) for case in cases)
    for low, high in USUAL:
        if low <= lowest and highest <= high:
            return Fraction(low), Fraction(high)
    return lowest, highest if lowest < highest else lowest + 1


def check_fit(given: Property, network: BinarizedNetwork, *, is_softmax: bool) -> None:
    """Raise `InputError` unless a property speaks of a network like this one.

    Parameters
    ----------
    given : Property
    network : BinarizedNetwork
    is_softmax : bool
        Whether the file's outputs are those behind a softmax, not the network's logits.
    """
    sizes = given.inputs.size, given.outputs.size
    if sizes != (network.num_inputs, network.num_classes):
        raise InputError(
            f"the property has {sizes[0]} inputs and {sizes[1]} outputs, the network "
            f"{network.num_inputs} and {network.num_classes}"
        )
    numbers = (each.least for case in given.cases for choice in case.choices for each in choice)
    if is_softmax and any(numbers):
        raise InputError(
            "the network ends in a softmax, so that its outputs can be compared with each other "
            "only: a number beside them says nothing of the logits"
        )


def questions_of(case: Case, network: BinarizedNetwork, limits: Range) -> list[AttackInstance]:
    """Instances, one of which has a flip if the case has a counterexample.

    A flip of theirs is a counterexample too, unless real weights of a head were rounded; so
    flips are to be replayed, and that there is none is a proof.
    """
    box = _box(case, network, limits)
    literals: dict[Difference, Literal] = {}
    singles: list[Difference] = []
    others: list[Choice] = []
    for choice in case.choices:
        left = _undecided(choice, network, literals)
        if left is None:
            continue
        if not left:  # it holds everywhere: any point will do
            always = Literal(np.zeros(network.output.shape[1], dtype=np.int64), 0)
            return [_untargeted(one_of_each(network, [always]), box)]
        if len(left) == 1:
            singles.append(left[0])
        else:
            others.append(left)
    instances = []
    for group in _groups(singles):
        instances.append(_plain(network, group, box) or _singles(network, group, literals, box))
    if others:
        own = {each: literals[each] for choice in others for each in choice}
        instances.append(_untargeted(all_of_each(network, others, own), box))
    return instances


def _undecided(
    choice: Choice, network: BinarizedNetwork, literals: dict[Difference, Literal]
) -> Choice | None:
    """The differences that do not hold everywhere; None if one of them holds nowhere."""
    left = []
    for difference in choice:
        literal = literals.get(difference) or literal_of(network.output, difference)
        if literal is False:
            return None
        if literal is not True:
            literals[difference] = literal
            left.append(difference)
    return tuple(left)


def _groups(singles: list[Difference]) -> list[list[Difference]]:
    """Those that the network's own margins answer, by source and rule on ties; then the rest."""
    plain: dict[tuple[int, bool], list[Difference]] = defaultdict(list)
    rest = []
    for difference in dict.fromkeys(singles):
        if difference.least == 0:
            plain[difference.source, difference.is_strict].append(difference)
        else:
            rest.append(difference)
    return [*plain.values(), rest] if rest else [*plain.values()]


def _plain(
    network: BinarizedNetwork, group: list[Difference], box: dict[str, Any]
) -> AttackInstance | None:
    """The network itself, where one target or all are asked for."""
    source, targets = group[0].source, [each.target for each in group]
    if any(each.least != 0 for each in group) or len(targets) not in (1, network.num_classes - 1):
        return None
    ties: Ties = "never" if group[0].is_strict else "always"
    target = targets[0] if len(targets) == 1 else "untargeted"
    return AttackInstance(network, target=target, source=source, ties=ties, goal="flip", **box)


def _singles(
    network: BinarizedNetwork,
    group: list[Difference],
    literals: dict[Difference, Literal],
    box: dict[str, Any],
) -> AttackInstance:
    return _untargeted(one_of_each(network, [literals[each] for each in group]), box)


def _untargeted(network: BinarizedNetwork, box: dict[str, Any]) -> AttackInstance:
    """Whether any class beats class 0."""
    return AttackInstance(network, target="untargeted", source=0, ties="never", goal="flip", **box)


def _box(case: Case, network: BinarizedNetwork, limits: Range) -> dict[str, Any]:
    """Image, epsilon and sides of the box, in the network's values."""
    low, high = ([_value(bound, limits) for bound in side] for side in (case.low, case.high))
    image = [_centre(*sides, network.levels) for sides in zip(low, high, strict=True)]
    reach = max(
        max(most - here, here - least) for least, here, most in zip(low, image, high, strict=True)
    )
    sides = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
    return {
        "image": np.array(image, dtype=np.float64),
        "epsilon": reach,
        "within": sides,
    }


def _value(bound: Fraction, limits: Range) -> Fraction:
    return (bound - limits[0]) / (limits[1] - limits[0])


def _centre(low: Fraction, high: Fraction, levels: int) -> Fraction:
    """The middle, or the whole level nearest to it, if that is between the sides."""
    middle = (low + high) / 2
    whole = Fraction(round(middle * levels), levels)
    return whole if low <= whole <= high else middle
