"""Search the cases of a property one after the other, within one limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bnnopt.attacks import attack_class
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.limits import Limits
from bnnopt.exchange.counterexamples.questions import Range, questions_of
from bnnopt.exchange.counterexamples.replay import Replay, Witness
from bnnopt.exchange.vnnlib import Case
from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork
from bnnopt.result import AttackResult, Status

__all__ = ["CaseSearch"]

LONGEST_NOTE = 200
"""Characters."""


class CaseSearch:
    """Asks for a flip in each case; what one question leaves of its time is the others'.

    Parameters
    ----------
    replay : Replay
    limits : Limits
    deadline : Deadline
        Of the whole work; it runs already.

    Attributes
    ----------
    is_open : bool
        Whether a search ended without an answer, though time was left.
    notes : list of str
        Why questions stayed open.
    """

    def __init__(self, replay: Replay, limits: Limits, deadline: Deadline) -> None:
        self._replay, self._limits, self._deadline = replay, limits, deadline
        self._again: list[tuple[Case, AttackInstance]] = []
        self.is_open = False
        self.notes: list[str] = []

    @property
    def is_cut_off(self) -> bool:
        """Whether the time ended a search."""
        return bool(self._again)

    def run(
        self, cases: tuple[Case, ...], network: BinarizedNetwork, limits: Range
    ) -> Witness | None:
        """A counterexample of one of the cases, if one is found."""
        for at, case in enumerate(cases, 1):
            instances = questions_of(case, network, limits)
            for number, instance in enumerate(instances):
                left = len(cases) - at + len(instances) - number
                witness = self._ask(case, instance, left)
                if witness is not None:
                    return witness
        while self._again and not self._deadline.passed:
            todo, self._again = self._again, []
            for number, (case, instance) in enumerate(todo):
                witness = self._ask(case, instance, len(todo) - number)
                if witness is not None:
                    return witness
        return None

    def _ask(self, case: Case, instance: AttackInstance, left: int) -> Witness | None:
        """Search for a flip, and if the file does not agree with it, for one with more margin."""
        starts = np.zeros((0, instance.network.num_inputs))
        for goal in ("flip", "margin"):
            share = self._deadline.share(1.0 / left)
            result = _attack(replace(instance, goal=goal), share, starts)
            if result.status is Status.INFEASIBLE:
                return None
            starts = instance.network.levels_of(result.adversarial)
            if not result.flipped:
                break
            witness = self._replay.witness(case, starts[0])
            if witness is not None:
                return witness
        if not result.flipped and share.time_limit and result.wall_time >= share.time_limit:
            self._again.append((case, instance))
            return None
        self.is_open = True
        notes = [*result.notes, result.message, self._replay.mismatch]
        self.notes += [note[:LONGEST_NOTE] for note in notes if note]
        return None


def _attack(
    instance: AttackInstance, limits: Limits, starts: npt.NDArray[np.float64]
) -> AttackResult:
    result: AttackResult = attack_class("auto")()(instance, limits, starts=starts)
    if result.interrupted:
        raise KeyboardInterrupt
    return result
