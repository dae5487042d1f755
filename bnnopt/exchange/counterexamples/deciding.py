"""Find a counterexample of a property, or prove that there is none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

from bnnopt.api import FEW_IMAGES, solver_errors
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.limits import Limits
from bnnopt.exchange.comparison.agreement import compared
from bnnopt.exchange.content import file_content, needs
from bnnopt.exchange.counterexamples.questions import check_fit, input_range
from bnnopt.exchange.counterexamples.replay import Replay, Witness
from bnnopt.exchange.counterexamples.searching import CaseSearch
from bnnopt.exchange.onnx import read_onnx
from bnnopt.exchange.vnnlib import Property, packed, read_vnnlib

__all__ = ["Answer", "Verdict", "decide"]


class Verdict(StrEnum):
    """What is known of a property."""

    SAT = "sat"
    """There is a counterexample."""
    UNSAT = "unsat"
    """There is none: a proof covers every point of every box."""
    UNKNOWN = "unknown"
    """None was found, and none ruled out, as the notes say."""
    TIMEOUT = "timeout"
    """Likewise, since the time was over."""


@dataclass(frozen=True)
class Answer:
    """The verdict on a property.

    Parameters
    ----------
    verdict : Verdict
        What is claimed.
    about : Property
        What was asked.
    witness : Witness or None
        The counterexample, where there is one.
    notes : tuple of str
        What stayed open, and why; what is to be known of how the network was read.
    """

    verdict: Verdict
    about: Property
    witness: Witness | None = None
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The verdict on a line of its own, and then the counterexample, as VNN-COMP wants it."""
        lines = [self.verdict.value]
        if self.witness is not None:
            lines.append(self.witness.text(self.about))
        return "\n".join(lines)


def decide(
    network: str | os.PathLike[str],
    specification: str | os.PathLike[str],
    *,
    time_limit: float | None = None,
    threads: int = 1,
    seed: int = 0,
) -> Answer:
    """Decide whether a network has a counterexample of a property.

    Parameters
    ----------
    network : path
        An ONNX file, in ``.gz`` or not.
    specification : path
        A VNN-LIB file of version 1.0 or 2.0, in ``.gz`` or not.
    time_limit : float or None
        Wall-clock seconds, reading included.
    threads : int
        Of branch and bound.
    seed : int
        Of all that is drawn at random.

    Returns
    -------
    Answer
        A counterexample was replayed twice as it is printed: exactly through the network, and by
        onnxruntime through the file; it lies in its box exactly. Before `Verdict.UNSAT` the network
        is compared with the file, neuron by neuron on a few images; it is a statement
        on the network that was read, which sees inputs on a grid of 2^-20 levels
        (docs/how-to/decide-a-property.md).

    Raises
    ------
    InputError
        If the property is of a kind that is not served, or does not fit the network.
    NetworkFormatError
        If the file is no binarized network.
    ImportDisagreesError
        If nothing was found, and the network does not give what the file gives.
    """
    limits = Limits(time_limit, threads, seed)
    deadline = Deadline(limits)
    needs("onnxruntime", "replaying a counterexample")
    about = read_vnnlib(specification)
    if not about.cases:
        return Answer(Verdict.UNSAT, about, notes=("the statements contradict each other",))
    between = input_range(about.cases)
    content, _ = file_content(packed(network))
    read = read_onnx(content, input_range=between)
    check_fit(about, read.network, is_softmax=read.softmax)
    replay = Replay(content, read.network, between)
    search = CaseSearch(replay, limits, deadline)
    with solver_errors():
        witness = search.run(about.cases, read.network, between)
    notes = tuple(dict.fromkeys((*read.notes, *search.notes)))
    if witness is not None:
        return Answer(Verdict.SAT, about, witness, notes)
    if not (search.is_open or search.is_cut_off):
        compared(read, FEW_IMAGES).raise_if_wrong()  # a proof about another network is none
        return Answer(Verdict.UNSAT, about, notes=notes)
    return Answer(Verdict.TIMEOUT if search.is_cut_off else Verdict.UNKNOWN, about, notes=notes)
