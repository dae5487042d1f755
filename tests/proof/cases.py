"""Tiny proofs, the truth of claims by enumeration, and changes of a proof's text."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import linprog

from bnnopt import AttackInstance, AttackResult, BinarizedNetwork, attack
from bnnopt.network import GRID
from bnnopt.proof import check
from bnnopt.proof.cuts import NoCutError
from bnnopt.proof.writing import NoProofError, proof_lines
from tests.helpers import exact_logits, whole_rows
from tests.kinds import admissible


def npy(image: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, image)
    return stream.getvalue()


def zipped(lines: list[str]) -> io.BytesIO:
    return io.BytesIO(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


def checked(network: BinarizedNetwork, image: Any, lines: list[str]) -> str:
    """What a proof proves."""
    return check.check(io.BytesIO(network.with_rows().to_bytes()), npy(image), zipped(lines))


def solved(
    network: BinarizedNetwork, image: Any, **options: Any
) -> tuple[AttackInstance, AttackResult]:
    """Branch and bound's result, which is a proof here."""
    result = attack(network, image, method="bab", time_limit=None, **options)
    return AttackInstance(network, image, **options), result


def proof_of(network: BinarizedNetwork, image: Any, **options: Any) -> list[str] | None:
    """The lines of a proof of it, if there is one."""
    try:
        return list(proof_lines(*solved(network, image, **options)))
    except (NoCutError, NoProofError):
        return None


def is_true(network: BinarizedNetwork, image: Any, about: dict[str, Any]) -> bool:
    """Whether what a header claims holds, by enumeration."""
    instance = _instance(network, image, about)
    if about["claim"] == "flip":
        z = instance.levels.copy()
        for i, steps in about["witness"]:
            z[i] = steps / (GRID if about["domain"] == "continuous" else 1)
        points = [z] if instance.admits(z / network.levels) else []
        found = [exact_logits(network, [Fraction(x) for x in z]) for z in points]
    elif about["domain"] == "pixels":
        points = admissible(instance)
        found = [exact_logits(network, [Fraction(x) for x in z]) for z in points]
    else:
        found = list(_logits_of_patterns(instance))
    margins = {c: [float(row[c] - row[about["source"]]) for row in found] for c in about["targets"]}
    if about["claim"] == "margin":
        return max(max(m, default=-np.inf) for m in margins.values()) <= Fraction(about["bound"])
    ties = {"always": True, "never": False}
    flips = [
        m > 0 or (m == 0 and ties.get(about["ties"], c < about["source"]))
        for c, of_class in margins.items()
        for m in of_class
    ]
    return any(flips) == (about["claim"] == "flip")


def _instance(network: BinarizedNetwork, image: Any, about: dict[str, Any]) -> AttackInstance:
    mask = np.ones(network.num_inputs, dtype=bool)
    mask[about["fixed"]] = False
    return AttackInstance(
        network,
        image,
        about["epsilon"],
        domain=about["domain"],
        direction=about["direction"],
        mask=mask,
        max_l1=about["l1"],
        target=(about["source"] + 1) % network.num_classes,
        source=about["source"],
    )


def _logits_of_patterns(instance: AttackInstance) -> Iterator[Any]:
    """Of the sign patterns of the first layer that have points inside."""
    network = instance.network
    for signs in product((-1.0, 1.0), repeat=network.widths[0]):
        if _has_inside(instance, np.array(signs)):
            values = np.array(signs)[None]
            for layer in network.hidden[1:]:
                values = layer(values)
            yield network.output(values)[0]


def _has_inside(instance: AttackInstance, signs: np.ndarray) -> bool:
    """By a linear program over the ways up and down of each pixel, and the smallest slack."""
    layer, (low, high), image = instance.network.hidden[0], instance.box, instance.levels
    rows = -signs[:, None] * whole_rows(layer)
    limits = -signs * layer.threshold - rows @ image
    matrix = np.hstack([rows, -rows, np.ones((len(rows), 1))])
    if instance.max_l1 is not None:
        matrix = np.vstack([matrix, np.r_[np.ones(2 * len(low)), 0.0]])
        limits = np.append(limits, instance.l1_levels)
    room = [(0.0, most) for most in (*(high - image), *(image - low))]
    goal = np.r_[np.zeros(2 * len(low)), -1.0]
    solved = linprog(goal, A_ub=matrix, b_ub=limits, bounds=[*room, (None, 1.0)])
    return solved.status == 0 and -solved.fun > 1e-5


def header(lines: list[str]) -> dict[str, Any]:
    """The first line, read."""
    about: dict[str, Any] = json.loads(lines[0])
    return about


def with_header(lines: list[str], **changes: Any) -> list[str]:
    """The same proof of something else."""
    return [json.dumps(header(lines) | changes), *lines[1:]]
