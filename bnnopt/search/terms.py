"""What flips do to the margin: the network behind its first layer, as the kernel has it.

Only the neurons that some set of flips could turn are kept; the others are constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from bnnopt.instance import AttackInstance
from bnnopt.network import HiddenLayer
from bnnopt.search.problem import LANES, MarginTerms

__all__ = ["LARGEST_TERMS", "margin_terms", "without_idle"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Rows = FloatArray | csr_array

LARGEST_TERMS = 2**26
"""Most numbers of the terms of a margin, half a gigabyte: larger problems are not searched."""

LARGEST_COPIES = 2**22
"""Terms of more numbers are shared between targets, though some of their neurons count nothing."""


def margin_terms(
    instance: AttackInstance, origin: FloatArray, shift: csr_array
) -> dict[int, MarginTerms] | None:
    """State the margin of each target.

    Parameters
    ----------
    instance : AttackInstance
    origin : array of float, shape (width,)
        Activations of the first layer, ±1, where nothing has flipped.
    shift : csr_array, shape (k, width)
        What each flip adds to them.

    Returns
    -------
    dict of int to MarginTerms, or None
        None if they would be too large.
    """
    parts = _parts(instance, origin, shift)
    sizes = [len(part.live) for part in parts]
    if sum(part.rows.shape[0] * part.rows.shape[1] for part in parts) > LARGEST_TERMS:
        return None
    start = np.concatenate([[0], np.cumsum(sizes)])
    matrices = [_plain(part.rows) for part in parts[1:]]
    block = np.concatenate([[0], np.cumsum([m.size for m in matrices])]).astype(np.int64)
    needed = np.concatenate([np.zeros(sizes[0]), *(-part.surplus for part in parts[1:])])
    change = _small(_plain(parts[0].rows).T)
    shared = MarginTerms(
        surplus=_small(parts[0].surplus),
        change=change,
        weight=np.concatenate([np.zeros(0), *(m.ravel() for m in matrices)]),
        needed=needed,
        gain=np.zeros(0),
        constant=0.0,
        start=start,
        block=block,
        step=float(np.abs(change).max(initial=0.0)),
    )
    return {c: _of_target(instance, shared, parts[-1], c) for c in instance.targets}


@dataclass(frozen=True, eq=False)
class _Part:
    """The neurons of a layer that can turn, and what the others are.

    Parameters
    ----------
    live : array of int64, shape (r,)
    on : array of float, shape (width,)
        Activations of 0 or 1; 0 where live.
    rows : array of float, or csr_array
        What changes the surplus of the live ones: flips, shape (r, k), or the live neurons of the
        layer before.
    surplus : array of float, shape (r,)
        Where none of those is made, or on.
    """

    live: Array
    on: FloatArray
    rows: Rows
    surplus: FloatArray


def _parts(instance: AttackInstance, origin: FloatArray, shift: csr_array) -> list[_Part]:
    """The layers from the second on; where there is none, one that copies the first."""
    half = csr_array(shift / 2.0)
    layers = instance.network.hidden[1:]
    if not layers:
        return [_part(np.where(origin > 0.0, 0.0, -1.0), csr_array(half.T))]
    turning = np.unique(half.indices)
    rows: Any = _columns(layers[0], turning) @ half[:, turning].T
    parts = [_part(_surplus(layers[0], origin), rows)]
    for layer in layers[1:]:
        before = parts[-1]
        surplus = _surplus(layer, 2.0 * before.on - 1.0)
        parts.append(_part(surplus, _columns(layer, before.live)))
    return parts


def _columns(layer: HiddenLayer, inputs: Array) -> Rows:
    """Weights of some inputs, shape (out, count): not sparse where none is 0."""
    if isinstance(layer.weight, np.ndarray):
        return layer.weight[:, inputs].astype(np.float64)
    return layer.columns(inputs)


def _plain(rows: Rows) -> FloatArray:
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


def _surplus(layer: HiddenLayer, activations: FloatArray) -> FloatArray:
    # One flip moves a sum of ±1 by 2.
    sums = layer.pre_activation(activations[None])[0]
    return np.asarray(np.floor((sums - layer.threshold) / 2.0))


def _part(surplus: FloatArray, rows: Any) -> _Part:
    """Sort the neurons of a layer by whether their surplus can change its sign.

    Arrays without entries are hard on compiled code, so that at least one neuron stays; of many,
    so many more that all targets can share what is padded (`bnnopt.search.position.LANES`).
    """
    total, size = rows.sum(axis=1), abs(rows).sum(axis=1)
    least, most = surplus + (total - size) / 2.0, surplus + (total + size) / 2.0
    is_live = (least < 0.0) & (most >= 0.0)
    if not is_live.any():
        is_live[0] = True
    live = np.flatnonzero(is_live)
    if len(live) * rows.shape[1] > LARGEST_COPIES:
        is_live[np.flatnonzero(~is_live)[: -len(live) % LANES]] = True
        live = np.flatnonzero(is_live)
    on = np.where((least >= 0.0) & ~is_live, 1.0, 0.0)
    return _Part(live, on, rows[live], surplus[live])


def _of_target(
    instance: AttackInstance, shared: MarginTerms, last: _Part, target: int
) -> MarginTerms:
    gain, constant = instance.of_margins.terms(target)
    unit = instance.of_margins.unit
    constant += float(2.0 * (gain @ last.on) - gain.sum())
    return shared._replace(gain=2.0 * gain[last.live] / unit, constant=constant / unit)


def without_idle(terms: MarginTerms) -> MarginTerms:
    """Drop the neurons of the last layer that count nothing; one, if all do, is kept."""
    counts = np.flatnonzero(terms.gain)
    if len(counts) == len(terms.gain) or terms.change.size > LARGEST_COPIES:
        return terms
    counts = counts if len(counts) else np.zeros(1, dtype=np.int64)
    start, block = terms.start.copy(), terms.block.copy()
    first = int(start[-2])
    start[-1] = first + len(counts)
    kept = terms._replace(
        needed=np.concatenate([terms.needed[:first], terms.needed[first + counts]]),
        gain=terms.gain[counts],
        start=start,
    )
    if len(block) == 1:
        return kept._replace(
            surplus=terms.surplus[counts],
            change=np.ascontiguousarray(terms.change[:, counts]),
        )
    columns = int(start[-2] - start[-3])
    matrix = terms.weight[block[-2] :].reshape(-1, columns)[counts]
    block[-1] = block[-2] + matrix.size
    weight = np.concatenate([terms.weight[: block[-2]], matrix.ravel()])
    return kept._replace(weight=weight, block=block)


def _small(whole: FloatArray) -> Array:
    """Whole numbers in single precision, which is exact for them up to 2^24."""
    return np.ascontiguousarray(whole, dtype=np.float32)
