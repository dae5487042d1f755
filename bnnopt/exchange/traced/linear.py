"""Linear maps of tensors: convolutions, matrices, means, sums of two, and padding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bnnopt.counts import counted
from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced.neurons import materialized
from bnnopt.exchange.traced.tensor import Elements, Sums, Tensor, Term, check_count
from bnnopt.exchange.traced.whole import RealWeightsError, WholeRows, whole_rows
from bnnopt.network.checks import MAX_NONZEROS
from bnnopt.network.convolution import Convolution
from bnnopt.network.weights import read_weight

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["add", "concatenate", "convolve", "linear_input", "multiply", "pad", "rows_of", "single"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Pair = tuple[int, int]
Sides = tuple[Pair, Pair]
Note = Callable[[str], None]

NEARLY = 1e-12
"""Of a row's largest weight: what computing in double precision explains."""


def linear_input(tensor: Tensor) -> Tensor:
    """What a linear map may see: real functions of sums, signs made neurons."""
    return materialized(tensor).affine()


def multiply(tensor: Tensor, matrix: FloatArray, note: Note) -> Tensor:
    """``tensor @ matrix`` over the last axis: shape (..., in) by (in, out)."""
    seen = linear_input(tensor)
    *before, size = seen.shape
    if matrix.ndim != 2 or matrix.shape[0] != size:
        raise NetworkFormatError(f"a matrix of shape {matrix.shape} does not fit {size} inputs")
    shape = (*before, matrix.shape[1])
    check_count(math.prod(shape))
    if math.prod(before) * np.count_nonzero(matrix) > MAX_NONZEROS:
        raise NetworkFormatError(f"it stands for too many weights: {MAX_NONZEROS} fit")
    offset = seen.elements.offset.reshape(*before, size) @ matrix
    if math.prod(before) == 1 and (dense := _dense_rows(seen.elements, matrix, note)):
        return _result(seen, *dense, offset, shape)
    from scipy.sparse import csr_array, eye_array, kron

    every = kron(eye_array(math.prod(before)), csr_array(matrix.T), format="csr")
    return _from_rows(seen, every, offset, shape, note)


def _dense_rows(
    elements: Elements, matrix: FloatArray, note: Note
) -> tuple[Sums, FloatArray] | None:
    """A matrix over the base itself, if that is what the elements are."""
    sums = elements.sums
    if not sums.is_plain or sums.inputs * matrix.shape[1] > MAX_NONZEROS:
        return None
    rows = np.zeros((matrix.shape[1], sums.inputs))
    for term in elements.terms:
        np.add.at(rows.T, term.row, matrix * term.scale[:, None])
    count, width = rows.shape
    place = np.repeat(np.arange(count), width)
    try:
        found = whole_rows(rows.ravel(), place, count, _levels(sums))
    except RealWeightsError:
        return None
    _tell(found, note)
    linear = read_weight(found.whole.reshape(rows.shape))
    return Sums(sums.base, linear, off=found.off), found.scale


def _levels(sums: Sums) -> int | None:
    pixels = sums.pixels
    return None if pixels is None else pixels.levels


def _tell(found: WholeRows, note: Note) -> None:
    rounded = int(found.is_rounded.sum())
    if rounded:
        note(
            f"real weights of {counted(rounded, 'row')} were put on a grid: each is off by at "
            f"most {found.error:.2g} of its row's largest"
        )
    elif found.error > NEARLY:
        note(
            "weights that are nearly whole multiples of one number were taken for those: they are "
            f"off by at most {found.error:.2g} of their row's largest"
        )


def _result(
    seen: Tensor, sums: Sums, scale: FloatArray, offset: FloatArray, shape: Sequence[int]
) -> Tensor:
    """A tensor whose places are the sums, in order."""
    count = sums.count
    term = Term(np.arange(count), np.repeat(scale, count // len(scale)))
    elements = Elements(sums, (term,), np.asarray(offset, dtype=np.float64).ravel())
    pick = np.arange(count).reshape(*shape, 1)
    return Tensor(elements, pick, seen.precision)


def rows_of(elements: Elements) -> csr_array:
    """Each element as a row over the base, in real numbers, without its offset."""
    from scipy.sparse import csr_array

    sums, count = elements.sums, len(elements)
    place = np.arange(count)
    chosen = csr_array((count, sums.count), dtype=np.float64)
    for term in elements.terms:
        shape = (count, sums.count)
        chosen = chosen + csr_array((term.scale, (place, term.row)), shape=shape)
    chosen.eliminate_zeros()
    if sums.real is not None:
        return csr_array(chosen @ sums.real)
    if sums.linear is None:
        return chosen
    return csr_array(chosen @ csr_array(sums.linear.matrix).astype(np.float64))


def _from_rows(
    seen: Tensor, rows: csr_array, offset: FloatArray, shape: Sequence[int], note: Note
) -> Tensor:
    """``rows @`` the elements, row by row over the base, whatever those are."""
    product, off = rows @ rows_of(seen.elements), abs(rows) @ _off(seen.elements)
    return _whole(product, off, seen.elements.sums, seen.precision, offset, shape, note)


def _off(elements: Elements) -> FloatArray:
    """The most that a weight of each element was changed by as it became whole."""
    off = elements.sums.off
    if off is None:
        return np.zeros(len(elements))
    return np.asarray(sum(np.abs(term.scale) * off[term.row] for term in elements.terms))


def _whole(
    matrix: csr_array,
    off: FloatArray,
    sums: Sums,
    precision: np.dtype[Any],
    offset: FloatArray,
    shape: Sequence[int],
    note: Note,
) -> Tensor:
    from scipy.sparse import csr_array

    matrix = csr_array(matrix)
    matrix.sum_duplicates()
    if matrix.nnz > MAX_NONZEROS:
        raise NetworkFormatError(f"it stands for {matrix.nnz} weights; at most {MAX_NONZEROS} fit")
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    try:
        found = whole_rows(matrix.data, row, matrix.shape[0], _levels(sums))
    except RealWeightsError:
        scale, rows = np.ones(matrix.shape[0]), Sums(sums.base, real=matrix)
    else:
        _tell(found, note)
        whole = csr_array((found.whole, matrix.indices, matrix.indptr), shape=matrix.shape)
        scale = found.scale
        rows = Sums(sums.base, read_weight(whole), off=found.off + off / scale)
    term = Term(np.arange(matrix.shape[0]), scale)
    elements = Elements(rows, (term,), np.asarray(offset, float).ravel())
    pick = np.arange(matrix.shape[0]).reshape(*shape, 1)
    return Tensor(elements, pick, precision)


def single(tensor: Tensor, note: Note) -> Tensor:
    """With one sum for each element, so that a chain can follow."""
    if len(tensor.elements.terms) == 1:
        return tensor
    seen = tensor.affine()
    elements = seen.elements
    rows, off = rows_of(elements), _off(elements)
    return _whole(rows, off, elements.sums, seen.precision, elements.offset, seen.shape, note)


def add(left: Tensor, right: Tensor, sign: float, note: Note) -> Tensor:
    """``left + sign * right``, broadcast."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    one, two = (
        linear_input(t.moved(lambda places: np.broadcast_to(places, shape))) for t in (left, right)
    )
    first, second = together(one.elements, two.elements)
    turned = tuple(Term(t.row, sign * t.scale) for t in second.terms)
    offset = first.offset + sign * second.offset
    elements = Elements(first.sums, (*first.terms, *turned), offset)
    return single(replace(one, elements=elements), note)


def together(one: Elements, two: Elements) -> tuple[Elements, Elements]:
    """Two affine rows of elements over the same sums."""
    if one.sums is two.sums or (
        one.sums.base == two.sums.base and one.sums.is_plain and two.sums.is_plain
    ):
        return one, replace(two, sums=one.sums)
    base = (*one.sums.base, *(part for part in two.sums.base if part not in one.sums.base))
    starts = dict(zip(base, np.cumsum([0, *(part.size for part in base)]), strict=False))
    both = [one.sums, two.sums]
    if all(sums.is_plain for sums in both):
        found = Sums(base)
        moved = [np.concatenate([starts[p] + np.arange(p.size) for p in s.base]) for s in both]
        first, second = (
            replace(e, sums=found, terms=tuple(Term(m[t.row], t.scale) for t in e.terms))
            for e, m in zip((one, two), moved, strict=True)
        )
        return first, second
    from scipy.sparse import vstack

    widened = [_widened(sums, base, starts) for sums in both]
    rows = vstack(widened, format="csr")
    is_whole = all(sums.real is None for sums in both)
    off = np.concatenate([np.zeros(s.count) if s.off is None else s.off for s in both])
    found = Sums(base, read_weight(rows), off=off) if is_whole else Sums(base, real=rows)
    shift = one.sums.count
    terms = tuple(Term(term.row + shift, term.scale) for term in two.terms)
    return replace(one, sums=found), replace(two, sums=found, terms=terms)


def _widened(sums: Sums, base: Any, starts: Any) -> csr_array:
    """Rows over a larger base."""
    from scipy.sparse import csr_array, eye_array

    if sums.real is not None:
        rows = sums.real.tocoo()
    elif sums.linear is None:
        rows = eye_array(sums.inputs, dtype=np.int64, format="coo")
    else:
        rows = csr_array(sums.linear.matrix).astype(np.int64).tocoo()
    column = np.concatenate([starts[part] + np.arange(part.size) for part in sums.base])
    shape = (rows.shape[0], sum(part.size for part in base))
    return csr_array((rows.data, (rows.row, column[rows.col])), shape=shape)


def concatenate(tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Side by side along an axis."""
    first = tensors[0]
    if all(t.elements is first.elements and not t.is_pooled for t in tensors):
        pick = np.concatenate([t.pick[..., 0] for t in tensors], axis)
        return replace(first, pick=pick[..., None])
    found = linear_input(first)
    for other in tensors[1:]:
        found = _beside(found, linear_input(other), axis)
    return found


def _beside(left: Tensor, right: Tensor, axis: int) -> Tensor:
    one, two = together(left.elements, right.elements)
    count = max(len(one.terms), len(two.terms))
    terms = tuple(
        Term(*(np.concatenate(parts) for parts in zip(*pair, strict=True)))
        for pair in zip(_filled(one, count), _filled(two, count), strict=True)
    )
    elements = Elements(one.sums, terms, np.concatenate([one.offset, two.offset]))
    pick = np.concatenate([left.pick, right.pick + len(one)], axis if axis >= 0 else axis - 1)
    return replace(left, elements=elements, pick=pick)


def _filled(elements: Elements, count: int) -> list[tuple[IntArray, FloatArray]]:
    """So many terms, those that lack being of scale 0."""
    empty = (np.zeros(len(elements), dtype=np.int64), np.zeros(len(elements)))
    parts = [(term.row, term.scale) for term in elements.terms]
    return parts + [empty] * (count - len(parts))


def pad(tensor: Tensor, before: Sequence[int], after: Sequence[int], value: float) -> Tensor:
    """With places of one value around it."""
    if min(*before, *after) < 0:
        raise NetworkFormatError("it pads by a negative number")
    if not math.isfinite(value):
        raise NetworkFormatError("it pads by what is not finite")
    seen = linear_input(tensor)
    elements = seen.elements
    count = len(elements)
    one = Elements(
        elements.sums,
        tuple(Term(np.append(t.row, 0), np.append(t.scale, 0.0)) for t in elements.terms),
        np.append(elements.offset, float(value)),
    )
    width = list(zip(before, after, strict=True))
    sides = [side + sum(more) for side, more in zip(seen.shape, width, strict=True)]
    check_count(math.prod(sides), "padding")
    return replace(
        seen.moved(lambda places: np.pad(places, width, constant_values=count)), elements=one
    )


def convolve(
    tensor: Tensor,
    kernel: FloatArray,
    note: Note,
    *,
    stride: Pair = (1, 1),
    padding: Sides = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """A convolution over (1, channels, rows, columns), its kernel as in torch."""
    seen = linear_input(tensor)
    if len(seen.shape) != 4 or seen.shape[0] != 1:
        raise NetworkFormatError(f"a convolution takes (1, channels, rows, columns): {seen.shape}")
    image: Any = seen.shape[1:]
    geometry = Convolution(
        np.ones(kernel.shape, dtype=np.int8), image, stride, padding, dilation, groups
    )
    offset = _convolved(seen.elements.offset.reshape(image), kernel, geometry)
    shape = (1, *geometry.output_shape)
    found = _as_convolution(seen, kernel, geometry, note)
    if found is not None:
        return _result(seen, *found, offset, shape)
    return _from_rows(seen, _kernel_rows(kernel, geometry), offset, shape, note)


def _convolved(image: FloatArray, kernel: FloatArray, geometry: Convolution) -> FloatArray:
    """Real numbers, padded by 0."""
    if not image.any():
        return np.zeros(geometry.output_shape)
    matrices = kernel.reshape(geometry.groups, -1, kernel[0].size)
    windows = geometry.windows(image.reshape(1, -1))[0]
    return np.asarray(matrices @ windows).reshape(geometry.output_shape)


def _kernel_rows(kernel: FloatArray, geometry: Convolution) -> csr_array:
    """The convolution's matrix, in real numbers."""
    from scipy.sparse import csr_array

    places = math.prod(geometry.output_shape[1:])
    channel, place = np.divmod(np.arange(geometry.shape[0]), places)
    group = channel // (len(kernel) // geometry.groups)
    inputs = geometry.inputs[group, place]
    weights = kernel.reshape(len(kernel), -1)[channel]
    present = (inputs >= 0) & (weights != 0)
    starts = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return csr_array((weights[present], inputs[present], starts), shape=geometry.shape)


def _as_convolution(
    seen: Tensor, kernel: FloatArray, geometry: Convolution, note: Note
) -> tuple[Sums, FloatArray] | None:
    """The same over the base, if the elements are its channels in order, padded or not."""
    sums = seen.elements.sums
    parts = seen.elements.terms
    if not sums.is_plain or (len(parts) > 1 and geometry.groups > 1):
        return None
    channels, rows, columns = image = geometry.input_shape
    scales = [term.scale.reshape(image) for term in parts]
    used = np.any([scale != 0 for scale in scales], axis=0)
    inside = _inside(used.any(axis=0))
    (above, below), (left, right) = inside
    inner = (slice(None), slice(above, rows - below), slice(left, columns - right))
    height, width = rows - above - below, columns - left - right
    found = _layout([term.row.reshape(image)[inner] for term in parts], sums)
    factors = [_by_channel(scale[inner]) for scale in scales]
    if found is None or any(len(factor) == 0 for factor in factors):
        return None
    each = [kernel * _seen(factor, kernel, geometry.groups) for factor in factors]
    wide = np.concatenate(each, axis=1)
    row = np.repeat(np.arange(len(wide)), wide[0].size)
    try:
        whole = whole_rows(wide.ravel(), row, len(wide), _levels(sums))
    except RealWeightsError:
        return None
    _tell(whole, note)
    padding = tuple((a + c, b + d) for (a, b), (c, d) in zip(geometry.padding, inside, strict=True))
    linear = Convolution(
        whole.whole.reshape(wide.shape),
        (channels * len(parts), height, width),
        geometry.stride,
        padding,  # type: ignore[arg-type]
        geometry.dilation,
        geometry.groups,
        channels_last=found == "last",
    )
    off = np.repeat(whole.off, linear.shape[0] // len(wide))
    return Sums(sums.base, linear, off=off), whole.scale


def _seen(factor: FloatArray, kernel: FloatArray, groups: int) -> FloatArray:
    """What each weight of a kernel is multiplied by, from one number an input channel."""
    of_groups = factor.reshape(groups, kernel.shape[1])
    return np.repeat(of_groups, len(kernel) // groups, axis=0)[:, :, None, None]


def _inside(used: Array) -> Sides:
    """How many rows and columns at each side are constant."""
    sides = []
    for axis in (1, 0):
        is_used = np.asarray(used.any(axis=axis))
        lines = np.flatnonzero(is_used)
        if not len(lines):
            return (0, 0), (0, 0)
        sides.append((int(lines[0]), int(is_used.size - 1 - lines[-1])))
    return sides[0], sides[1]


def _layout(rows: list[IntArray], sums: Sums) -> str | None:
    """Whether the base is these numbers, channels first or last; None if neither."""
    every = np.concatenate(rows)
    if every.size != sums.inputs:
        return None
    order = np.arange(every.size)
    if np.array_equal(every.ravel(), order):
        return "first"
    return "last" if np.array_equal(every.transpose(1, 2, 0).ravel(), order) else None


def _by_channel(scale: FloatArray) -> FloatArray:
    """One number a channel, if all its places have that; else nothing."""
    first: FloatArray = scale[:, 0, 0]
    return first if (scale == first[:, None, None]).all() else first[:0]
