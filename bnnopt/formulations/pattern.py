"""The points of a sign pattern: as far from every first-layer threshold as the box allows.

The one model that is written in arrays: searches that need no MILP solve it after each flip they
find, and would otherwise wait for Pyomo.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import block_array, csr_array, diags_array, eye_array, hstack, vstack

from bnnopt.instance import AttackInstance
from bnnopt.row_units import row_units
from solvers import CompiledModel

__all__ = ["pattern_model", "pattern_units"]

FloatArray = npt.NDArray[np.float64]

SLACK = 0.5
"""Levels; a slack beyond half a level adds nothing in the continuous domain."""


def pattern_model(
    instance: AttackInstance,
    neurons: npt.NDArray[np.int64],
    *,
    box: tuple[FloatArray, FloatArray] | None = None,
    max_l1: float = np.inf,
    max_pixels: int | None = None,
    whole: bool = False,
    below: float = 0.0,
) -> CompiledModel:
    """A linear program that maximises the smallest slack over the rows of a sign pattern.

    Row ``on[j]`` says ``weight[j] @ z - slack >= threshold[j]``, and ``off[j]`` says
    ``-weight[j] @ z - slack >= -threshold[j]`` (one more in the pixel domain, where that is
    exact), both over `pattern_units`, so that the slack is in levels. Whoever solves it relaxes the
    rows that a pattern does not want. A positive optimum is a point strictly inside the pattern,
    which every arithmetic decides alike; a negative one says that the pattern has no point
    (docs/mathematics.md).

    Parameters
    ----------
    instance : AttackInstance
        Whose first layer and domain count.
    neurons : array of int64, shape (k,)
        First-layer neurons with rows.
    box : pair of arrays, shape (n,), optional
        Bounds on the levels z; the instance's `point_box` if not given.
    max_l1 : float
        Largest sum of changes, in levels.
    max_pixels : int, optional
        Most levels that change, which makes it a MILP.
    whole : bool
        Whether z takes whole levels only, which makes it a MILP.
    below : float
        Levels that a sum, over its unit, must be farther below its threshold to be off, in the
        continuous domain.

    Returns
    -------
    solvers.CompiledModel
        Its first n columns are the levels z, the next is the slack; its first 2k rows are
        ``on``, then ``off``, in the order of `neurons`. With `max_l1`, the last n columns are to
        be taken from the first ones.
    """
    layer, n, k = instance.network.hidden[0], instance.network.num_inputs, len(neurons)
    low, high = instance.point_box if box is None else box
    unit = pattern_units(instance, neurons, whole=whole)
    weight = diags_array(1.0 / unit) @ layer.rows(neurons)
    threshold = layer.threshold[neurons] / unit
    is_pixels = instance.domain == "pixels"
    # Deep points survive the rounding of their few fractional pixels; whole ones need no depth.
    depth = 0.0 if whole else SLACK * (k if is_pixels else 1.0)
    # Columns: levels, slack, and sums, so that both sides of a neuron share its row.
    one, less = eye_array(k), csr_array(np.full((k, 1), -1.0))
    matrix = block_array([[None, less, one], [None, less, -one], [weight, None, -one]])
    pattern = CompiledModel(
        name="pattern",
        maximize=True,
        objective=np.eye(1, n + 1 + k, n)[0],
        constant=0.0,
        matrix=csr_array(matrix),
        row_lower=np.concatenate(
            [threshold, (1.0 / unit if is_pixels else below) - threshold, np.zeros(k)]
        ),
        row_upper=np.repeat([np.inf, np.inf, 0.0], k),
        lower=np.concatenate([low, np.full(1 + k, -np.inf)]),
        upper=np.concatenate([high, [depth], np.full(k, np.inf)]),
        integer=np.arange(n + 1 + k) < (n if whole else 0),
    )
    if max_pixels is not None:
        pattern = _limit_l0(pattern, instance.levels, max_pixels)
    return _limit_l1(pattern, instance.levels, max_l1) if np.isfinite(max_l1) else pattern


def pattern_units(
    instance: AttackInstance, neurons: npt.NDArray[np.int64], *, whole: bool = False
) -> FloatArray:
    """What `pattern_model` divides each neuron's row by, shape (k,); 1 where levels are whole.

    Parameters
    ----------
    instance, neurons, whole
        As for `pattern_model`.
    """
    if whole:
        return np.ones(len(neurons))
    return row_units(instance.network.hidden[0].rows(neurons))


def _limit_l0(pattern: CompiledModel, image: FloatArray, max_pixels: int) -> CompiledModel:
    """A binary for each of the first n columns says whether it leaves the image; limit their sum.

    Row by row: ``z - up c <= image``, ``z + down c >= image``, and the sum.
    """
    n, others = len(image), pattern.num_columns - len(image)
    up, down = pattern.upper[:n] - image, image - pattern.lower[:n]
    still, none = csr_array((n, others)), np.full(n, np.inf)
    rises = hstack([eye_array(n), still, diags_array(-up)])
    falls = hstack([eye_array(n), still, diags_array(down)])
    number = hstack([csr_array((1, n + others)), csr_array(np.ones((1, n)))])
    before = hstack([pattern.matrix, csr_array((pattern.num_rows, n))])
    return replace(
        pattern,
        objective=np.concatenate([pattern.objective, np.zeros(n)]),
        matrix=csr_array(vstack([before, rises, falls, number])),
        row_lower=np.concatenate([pattern.row_lower, -none, image, [-np.inf]]),
        row_upper=np.concatenate([pattern.row_upper, image, none, [max_pixels]]),
        lower=np.append(pattern.lower, np.zeros(n)),
        upper=np.append(pattern.upper, np.ones(n)),
        integer=np.append(pattern.integer, np.ones(n, dtype=bool)),
    )


def _limit_l1(pattern: CompiledModel, image: FloatArray, max_l1: float) -> CompiledModel:
    """Let the first n columns only rise from the image, and n more take back; limit both's sum."""
    n, others = len(image), pattern.num_columns - len(image)
    fall = image - pattern.lower[:n]
    moved = hstack([csr_array(np.ones((1, n))), csr_array((1, others)), csr_array(np.ones((1, n)))])
    return replace(
        pattern,
        objective=np.concatenate([pattern.objective, np.zeros(n)]),
        matrix=csr_array(vstack([hstack([pattern.matrix, -pattern.matrix[:, :n]]), moved])),
        row_lower=np.append(pattern.row_lower, -np.inf),
        row_upper=np.append(pattern.row_upper, max_l1 + image.sum()),
        lower=np.concatenate([image, pattern.lower[n:], np.zeros(n)]),
        upper=np.concatenate([pattern.upper, fall]),
        integer=np.append(pattern.integer, pattern.integer[:n]),
    )
