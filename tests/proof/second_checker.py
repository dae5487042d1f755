"""A second checker of proofs, written from docs/proofs.md before its author read the first.

What the page did not say then was asked of proofs and of `bnnopt.proof.check`, and stands there:
where both say the same about a proof, so does the page. It favours arrays where the other has sets,
one at a time; what decides is whole numbers: int64 where they are bounded, Python's else.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from dataclasses import astuple, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor, gcd
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Array = npt.NDArray[Any]

FORMAT = "bnnopt proof 1"
GRID = 2**20  # steps of a level in the continuous domain
HEAD_BITS = 50
SAFE = 2**62  # what sums of int64 are bounded by here
EXACT_FLOAT = 2**53
ROWS = 4096  # partial sets that a leaf extends at a time
# Of bnnopt's networks: rows' sums of absolute weights, the first times the levels; see networks.md.
FIRST_ROWS, DEEPER_ROWS, THRESHOLDS = 2**33, 2**24, 2**40


class Rejected(Exception):  # noqa: N818
    """A proof that does not follow, or is about something else."""


def require(condition: object, reason: str) -> None:
    """Reject with a reason where a condition does not hold."""
    if not condition:
        raise Rejected(reason)


# --- the network ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """Neurons that are on iff ``weight @ input >= threshold``."""

    weight: csr_array
    threshold: Array

    @property
    def need(self) -> Array:
        """What a sum of activations of 0 and 1 must reach behind the first layer."""
        return -((-(self.weight.sum(axis=1) + self.threshold)) // 2)


@dataclass(frozen=True)
class Network:
    """What a network file says, in whole numbers: the head's are multiples of `unit`."""

    levels: int
    layers: list[Layer]
    head: Array
    bias: Array
    unit: Fraction
    digest: str


def read_network(path: Any) -> Network:
    """The network of an ``.npz`` file, and the digest that a proof's header has of it."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(arrays["metadata"].tobytes())
    levels = about["levels"]
    require(type(levels) is int and levels > 0, "levels")
    if about["format"] == 1:
        shapes = list(zip(about["widths"], [about["num_inputs"], *about["widths"]], strict=False))
        kinds = [("dense", shape) for shape in shapes]
        head_kind, head_shape = "dense", (about["num_classes"], about["widths"][-1])
    else:
        kinds = [(layer["kind"], tuple(layer["shape"])) for layer in about["layers"]]
        head_kind, head_shape = about["output"]["kind"], tuple(about["output"]["shape"])
    layers = []
    for number, (kind, shape) in enumerate(kinds, start=1):
        threshold = arrays[f"threshold_{number}"].astype(np.int64)
        require(threshold.shape == shape[:1], "a layer's thresholds")
        layers.append(Layer(_rows(arrays, number, kind, shape), threshold))
    if len(layers) == 1:
        width = kinds[0][1][0]
        copy = csr_array(np.eye(width, dtype=np.int64))
        layers.append(Layer(copy, np.ones(width, dtype=np.int64)))
    rows = [abs(layer.weight).sum(axis=1).max(initial=0) for layer in layers]
    require(
        int(rows[0]) * levels < FIRST_ROWS and max(rows[1:]) < DEEPER_ROWS,
        "weights that are too large",
    )
    require(all(abs(x.threshold).max(initial=0) < THRESHOLDS for x in layers), "large thresholds")
    for below, layer in pairwise(layers):
        require(layer.weight.shape[1] == below.weight.shape[0], "layers that do not fit")
    if head_kind == "dense":
        weight = _signs(arrays["output_weight"], head_shape).astype(np.float64)
    else:
        require(head_kind == "real", f"a head of kind {head_kind}")
        weight = arrays["output_weight"].astype(np.float64)
    require(weight.shape == (len(arrays["output_bias"]), len(layers[-1].threshold)), "the head")
    numbers = np.column_stack([arrays["output_scale"][:, None] * weight, arrays["output_bias"]])
    whole, unit = on_grid(numbers)
    head, bias = whole[:, :-1], whole[:, -1]
    first, *deeper = layers
    needs = [first.threshold, *(layer.need for layer in deeper)]
    said = [
        ([dict(zip(*row, strict=True)) for row in _split(layer.weight)], need.tolist())
        for layer, need in zip(layers, needs, strict=True)
    ]
    text = repr((levels, said, head.tolist(), bias.tolist(), unit))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Network(levels, layers, head, bias, unit, digest)


def _signs(packed: Array, shape: tuple[int, ...]) -> Array:
    """The ±1 of an array of bits, row by row, the first in the highest bit of a byte."""
    size = int(np.prod(shape))
    require(packed.dtype == np.uint8 and packed.shape == ((size + 7) // 8,), "packed signs")
    return 2 * np.unpackbits(packed, count=size).reshape(shape).astype(np.int64) - 1


def _rows(arrays: dict[str, Array], number: int, kind: str, shape: tuple[int, ...]) -> csr_array:
    """The weights of a layer."""
    if kind == "dense":
        return csr_array(_signs(arrays[f"weight_{number}"], shape))
    require(kind == "sparse", f"layers of kind {kind}")
    parts = [arrays[f"{name}_{number}"] for name in ("data", "indices", "indptr")]
    require(all(part.dtype.kind in "iu" for part in parts), "a sparse layer's types")
    data, indices, indptr = (part.astype(np.int64) for part in parts)
    good = len(indptr) == shape[0] + 1 and indptr[0] == 0 and indptr[-1] == len(data)
    require(good and len(indices) == len(data) and np.all(np.diff(indptr) >= 0), "sparse rows")
    require(np.all((indices >= 0) & (indices < shape[1])), "a sparse row's inputs")
    require(np.all((data >= -(2**15)) & (data < 2**15)), "a sparse row's weights")
    rows = csr_array((data, indices, indptr), shape=(shape[0], shape[1]))
    require(all(len(set(inputs)) == len(inputs) for inputs, _ in _split(rows)), "an input twice")
    return rows


def _split(rows: csr_array) -> list[tuple[list[int], list[int]]]:
    """Inputs and weights of each row."""
    inputs, weights = rows.indices.tolist(), rows.data.tolist()
    return [(inputs[a:b], weights[a:b]) for a, b in pairwise(rows.indptr.tolist())]


def on_grid(numbers: Array) -> tuple[Array, Fraction]:
    """A head's numbers, the bias in the last column, as multiples of a power of two.

    The power is 2^-50 of the next power of two above the largest sum of a row's absolute numbers.
    """
    require(np.isfinite(numbers).all(), "a head that is not finite")
    step = Fraction(0)
    while True:  # rounding may lift the largest sum above the power of two
        largest = max(sum(map(Fraction, map(abs, row))) for row in numbers.tolist())
        # The exponent of frexp: the power of two above a number.
        power = Fraction(1)
        while power <= largest:
            power *= 2
        while largest and power > 2 * largest:
            power /= 2
        wanted = power / 2**HEAD_BITS
        if wanted <= step:
            # Below 2^50 in size.
            return np.array(numbers / float(step), dtype=np.int64), step
        step = wanted
        numbers = np.rint(numbers / float(step)) * float(step)


# --- the image and its box ------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """The images that are admissible, in steps."""

    image: Array
    low: Array
    high: Array
    budget: int | None  # of the sum of changes

    def most(self, weight: Array) -> int:
        """The largest ``weight @ (2 z - low - high)`` of an admissible image z."""
        weight = weight.astype(object)
        if self.budget is None:
            return int(np.abs(weight) @ (self.high - self.low))
        way = np.where(weight > 0, self.high - self.image, self.image - self.low)
        value = int(weight @ (2 * self.image - self.low - self.high))
        left = self.budget
        for i in np.argsort(-np.abs(weight), kind="stable"):
            steps = min(left, int(way[i]))
            value += 2 * abs(weight[i]) * steps
            left -= steps
        return value

    def has(self, image: Array) -> bool:
        """Whether an image is admissible."""
        if not bool(np.all((self.low <= image) & (image <= self.high))):
            return False
        return self.budget is None or int(np.abs(image - self.image).sum()) <= self.budget


def read_box(path: Any, levels: int, about: dict[str, Any]) -> Box:
    """The box of a header around the image of an ``.npy`` file."""
    values = np.load(path, allow_pickle=False).ravel()
    if values.dtype.kind == "i" or values.dtype == np.uint8:
        exact = [Fraction(int(v)) * GRID for v in values]
    else:
        require(values.dtype in (np.float64, np.float32), "an image that is neither whole nor real")
        exact = [Fraction(v) * levels * GRID for v in values.tolist()]
    require((values >= 0).all(), "a pixel below 0")
    if values.dtype == np.float32:
        level = np.rint(values.astype(float) * levels)
        ideal = (level / levels).astype(np.float32)
        ends = [np.nextafter(ideal, np.float32(end)) for end in (-1.0, 2.0)]
        near = (ends[0] <= values) & (values <= ends[1])
        levels_or_not = zip(level, near, exact, strict=True)
        exact = [int(k) * Fraction(GRID) if n else v for k, n, v in levels_or_not]
    require(all(0 <= v <= levels * GRID for v in exact), "an image that is out of range")
    # The nearest step, and the even one of two: what the network sees.
    image = [round(v) for v in exact]
    grid = GRID
    if about["domain"] == "pixels":
        require(all(v % GRID == 0 for v in image), "an image that is not of whole levels")
        image, grid = [v // GRID for v in image], 1
        exact = [Fraction(v) for v in image]
    reach = in_steps(Fraction(about["epsilon"]), levels, grid)
    fixed = set(about["fixed"])
    low, high = list(image), list(image)
    for i, value in enumerate(exact):
        if i in fixed or about["epsilon"] == "0":
            continue
        if about["direction"] != "lighten":
            low[i] = ceil(max(value - reach, Fraction(0)) - Fraction(1, 2))
        if about["direction"] != "darken":
            high[i] = floor(min(value + reach, Fraction(levels * grid)) + Fraction(1, 2))
    budget = None if about["l1"] is None else in_steps(Fraction(about["l1"]), levels, grid)
    # Below 2^32 each, so that sums and products with weights are far from int64's end.
    return Box(np.array(image), np.array(low), np.array(high), budget)


def in_steps(budget: Fraction, levels: int, grid: int) -> int:
    """A budget in steps: a whole number where it is as good as one, else rounded outward.

    Between whole levels there is nothing: there, a part of a level is no room.
    """
    require(budget >= 0, "a budget below 0")
    steps = budget * levels * grid
    nearest = round(steps)
    return (
        nearest
        if abs(steps - nearest) <= Fraction(grid, 10**9)
        else (ceil if grid > 1 else floor)(steps)
    )


# --- what a proof is about ------------------------------------------------------------------------


@dataclass(frozen=True)
class Flips:
    """The neurons of the first layer that may flip, and what a flip of each needs.

    Attributes
    ----------
    neurons : list of int
    toward : array of int64, shape (flips, inputs)
        Weights with the sign that leads to a flip.
    demand, stay : list of int
        A flip needs ``toward @ (2 z - c) >= demand``, and its absence
        ``-toward @ (2 z - c) >= stay``.
    """

    neurons: list[int]
    toward: csr_array
    demand: list[int]
    stay: list[int]


@dataclass(frozen=True)
class Stage:
    """The neurons of a layer that flips can turn.

    Attributes
    ----------
    weight : array of int64, shape (neurons, inputs)
        Of inputs that flips can turn; in the second layer, what each flip changes.
    base : array of int64, shape (neurons,)
        The surplus where all of those inputs are 0; in the second layer, where nothing flipped.
    """

    weight: Array
    base: Array


@dataclass(frozen=True)
class Goal:
    """A target's margin in whole numbers, and the least one that must not be."""

    gain: Array
    constant: int
    wanted: int


class Problem:
    """The network over a box: flips, and what they do behind the first layer."""

    def __init__(self, network: Network, box: Box, grid: int) -> None:
        self.network, self.box = network, box
        first = network.layers[0]
        threshold = first.threshold * grid
        centre = box.low + box.high
        # Sums of a row are below 2^33 levels, so 2^53 steps, and twice that in centre.
        sums = first.weight @ centre
        width = abs(first.weight) @ (box.high - box.low)
        may_flip = (sums + width >= 2 * threshold) & (sums - width < 2 * threshold)
        on = sums >= 2 * threshold if box.budget is None else first.weight @ box.image >= threshold
        self.neurons = np.flatnonzero(may_flip)
        sign = np.where(on, -1, 1)[self.neurons]
        toward = csr_array(first.weight[self.neurons].multiply(sign[:, None])).astype(np.int64)
        # w @ (2 z - c) >= 2 T - w @ c to be on, -w @ (2 z - c) >= w @ c - 2 (T - 1) to be off.
        be_on = (2 * threshold - sums)[self.neurons]
        be_off = 2 - be_on
        self.flips = Flips(
            self.neurons.tolist(),
            toward,
            np.where(sign > 0, be_on, be_off).tolist(),
            np.where(sign > 0, be_off, be_on).tolist(),
        )
        self.position = {j: i for i, j in enumerate(self.flips.neurons)}
        self._behind(on.astype(np.int64), sign)

    def _behind(self, on: Array, sign: Array) -> None:
        """Reduce the deeper layers to what flips can turn."""
        self.stages: list[Stage] = []
        constant, live = on, self.neurons
        for number, layer in enumerate(self.network.layers[1:]):
            base = layer.weight @ constant - layer.need
            moves = layer.weight[:, live].toarray()
            if number == 0:
                moves = moves * sign
            low = base + np.minimum(moves, 0).sum(axis=1)
            high = base + np.maximum(moves, 0).sum(axis=1)
            turns = (low < 0) & (high >= 0)
            self.stages.append(Stage(moves[turns], base[turns]))
            # Neurons that can turn count as 0 here, and apart from the constant ones.
            constant, live = np.where(turns, 0, base >= 0).astype(np.int64), np.flatnonzero(turns)
            fixed_on = ~turns & (low >= 0)
            constant = fixed_on.astype(np.int64)
        self.last_on, self.last_live = constant, live

    def goal(self, source: int, target: int, about: dict[str, Any]) -> Goal:
        """The margin of a target, and what the claim denies it."""
        network = self.network
        weight = network.head[target] - network.head[source]
        # Activations of ±1 are twice those of 0 and 1, less 1: below 2^53 in all.
        constant = int(network.bias[target] - network.bias[source] - weight.sum())
        constant += 2 * int(weight @ self.last_on)
        gain = 2 * weight[self.last_live]
        if about["claim"] == "margin":
            least = floor(Fraction(about["bound"]) / network.unit) + 1
        else:
            least = 0 if wins_ties(about["ties"], source, target) else 1
        step = gcd(*gain.tolist()) or 1
        return Goal(gain, constant, least + (constant - least) % step)

    def margins(self, goal: Goal, sets: Array) -> Array:
        """Exact margins of sets of flips, one a row."""
        state = sets.astype(np.int64)
        for stage in self.stages:
            state = (state @ stage.weight.T + stage.base >= 0).astype(np.int64)
        return state @ goal.gain + goal.constant


def wins_ties(ties: str, source: int, target: int) -> bool:
    """Whether a margin of 0 is a flip."""
    return ties == "always" or (ties == "lowest" and target < source)


# --- nodes of the tree ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Cuts:
    """Sets that no image has: all of `flips`, none of `stays`; a row a cut, a column a flip."""

    flips: Array
    stays: Array

    @staticmethod
    def joined(parts: list[Cuts]) -> Cuts:
        """All cuts of some collections."""
        return Cuts(*(np.vstack(part) for part in zip(*map(astuple, parts), strict=True)))

    def forbid(self, sets: Array) -> Array:
        """Which sets some cut forbids."""
        # Counts of flips: floats have them exactly.
        sets = sets.astype(np.float64)
        missing = (1 - sets) @ self.flips.T.astype(np.float64)
        extra = sets @ self.stays.T.astype(np.float64)
        return np.asarray((missing + extra == 0).any(axis=1))


@dataclass(frozen=True)
class Quadratic:
    """A function above the margin: of the open flips of a set, beside the members at its line."""

    value: int
    single: Array
    pair: Array
    wanted: int
    members: Array


@dataclass(frozen=True)
class Node:
    """All sets that have the members, and others of the open flips only."""

    members: Array
    open: Array
    apart: Array
    cuts: Cuts
    function: Quadratic | None = None

    def with_cuts(self, cuts: Cuts) -> Node:
        """The node where further cuts hold, after a look at all of them."""
        return replace(self, cuts=Cuts.joined([self.cuts, cuts])).looked()

    def looked(self) -> Node:
        """The node after its cuts have closed flips, and set pairs apart: each once, in order."""
        is_open, apart = self.open.copy(), self.apart.copy()
        left = self.cuts.flips & ~self.members
        few = left.sum(axis=1) <= 2
        may_act = few & left.any(axis=1) & ~(self.cuts.stays & self.members).any(axis=1)
        used = np.zeros(len(left), dtype=bool)
        for at in np.flatnonzero(may_act):
            beside = np.flatnonzero(left[at])
            if is_open[beside].all() and not (self.cuts.stays[at] & is_open).any():
                used[at] = True
                if len(beside) == 1:
                    is_open[beside] = False
                else:
                    apart[beside, beside[::-1]] = True
        # No set that is left has what a used one forbids.
        cuts = Cuts(self.cuts.flips[~used], self.cuts.stays[~used])
        return replace(self, open=is_open, apart=apart, cuts=cuts)

    def branch(self, flip: int) -> tuple[Node, Node]:
        """The nodes of the sets that have a flip, and of those that have not."""
        require(self.open[flip], "a branch on a flip that is not open")
        here = np.arange(len(self.open)) == flip
        beside = self.open & ~here
        chosen = replace(self, members=self.members | here, open=beside & ~self.apart[flip])
        return chosen.looked(), replace(self, open=beside)

    def classes(self) -> list[list[int]]:
        """Classes of open flips that are apart, each flip in the first that takes it."""
        classes: list[list[int]] = []
        for i in np.flatnonzero(self.open):
            for one in classes:
                if self.apart[i, one].all():
                    one.append(int(i))
                    break
            else:
                classes.append([int(i)])
        return classes


def fits(bound: int) -> Any:
    """The type for whole numbers of a size."""
    return np.int64 if bound < SAFE else object


def quadratic(problem: Problem, goal: Goal, node: Node, bits: int, numbers: list[int]) -> Quadratic:
    """The function of a line, over a node."""
    stages = problem.stages
    counts = [len(stage.base) for stage in reversed(stages)] + [len(stages[0].base)]
    require(len(numbers) == sum(counts), "a function with too few or too many numbers")
    parts = np.split(np.array(numbers, dtype=object), np.cumsum(counts)[:-1])
    *slopes, curve = parts
    slopes.reverse()
    # Ranges of surpluses, from the second layer to the last.
    moves = stages[0].weight
    at_members = stages[0].base + moves @ node.members.astype(np.int64)
    low, high = at_members.copy(), at_members.copy()
    for one in node.classes():
        low += np.minimum(moves[:, one].min(axis=1), 0)
        high += np.maximum(moves[:, one].max(axis=1), 0)
    ranges = [(low, high)]
    for stage in stages[1:]:
        sure, may = (low >= 0).astype(np.int64), (high >= 0).astype(np.int64)
        up, down = np.maximum(stage.weight, 0), np.minimum(stage.weight, 0)
        low, high = stage.base + up @ sure + down @ may, stage.base + up @ may + down @ sure
        ranges.append((low, high))
    # From the last layer back.
    scale = Fraction(2) ** bits
    value = ceil(goal.constant * scale)
    gain = np.array([ceil(g * scale) for g in goal.gain.tolist()], dtype=object)
    for number in reversed(range(1, len(stages))):
        slope, (low, high) = slopes[number], ranges[number]
        lines = zip(gain, slope, low.tolist(), high.tolist(), strict=True)
        for g, s, a, b in lines:
            ends = {a, b} | {y for y in (-1, 0) if a <= y <= b}
            value += max((g if y >= 0 else 0) - s * y for y in ends)
        value += int(slope @ stages[number].base)
        gain = stages[number].weight.T.astype(object) @ slope
    return _second(problem, node, goal, scale, value, gain, slopes[0], curve, ranges[0])


def _second(
    problem: Problem,
    node: Node,
    goal: Goal,
    scale: Fraction,
    value: int,
    gain: Array,
    slope: Array,
    curve: Array,
    limits: tuple[Array, Array],
) -> Quadratic:
    """The function of the flips, from the second layer's gains, slopes and curves."""
    low, high = limits
    moves, base = problem.stages[0].weight, problem.stages[0].base
    # Whatever is added up below, in size: |y| is at most `reach`.
    reach = int(max(np.abs(low).max(initial=0), np.abs(high).max(initial=0)))
    reach = max(reach, int((np.abs(base) + np.abs(moves).sum(axis=1)).max(initial=0)), 1)
    bound = sum(map(abs, gain)) + 4 * reach * sum(map(abs, slope))
    bound += 4 * reach * reach * sum(map(abs, curve))
    kind = fits(bound)
    gain, slope, curve = (part.astype(kind) for part in (gain, slope, curve))
    y = np.arange(low.min(initial=0), high.max(initial=0) + 1)
    inside = (low[:, None] <= y) & (y <= high[:, None])
    steps = y.astype(kind)
    rest = np.where(y >= 0, gain[:, None], 0) - slope[:, None] * steps
    rest = rest - curve[:, None] * (steps * steps)
    for line, among in zip(rest, inside, strict=True):
        value += int(line[among].max())
    at_members = (base + moves @ node.members.astype(np.int64)).astype(kind)
    value += int(slope @ at_members + curve @ (at_members * at_members))
    changes = moves.astype(kind)
    single = changes.T @ (slope + 2 * curve * at_members) + (changes * changes).T @ curve
    if bound < EXACT_FLOAT:  # so are all partial sums, in any order
        floats = moves.astype(np.float64)
        pair = (2 * floats.T @ (curve.astype(np.float64)[:, None] * floats)).astype(np.int64)
    else:
        pair = 2 * (changes.T @ (curve[:, None] * changes))
    np.fill_diagonal(pair, 0)
    return Quadratic(value, single, pair, floor(goal.wanted * scale), node.members)


def search(problem: Problem, goal: Goal, node: Node) -> None:
    """See that no set of a leaf that may be wanted has an image."""
    for sets in wanted_sets(node):
        at_fault = problem.margins(goal, sets) >= goal.wanted
        at_fault &= ~node.cuts.forbid(sets)
        require(not at_fault.any(), "a leaf with a set that is wanted, and that no cut forbids")


def wanted_sets(node: Node) -> Any:
    """The sets of a node without two that are apart, and not shown to be unwanted; in blocks."""
    size = len(node.open)
    classes = node.classes()
    function = node.function
    if function is None:
        zero = np.zeros(size, dtype=np.int64)
        function = Quadratic(0, zero, np.zeros((size, size), np.int64), 0, node.members)
    # From where the function was given to the set of the members alone.
    beside = (node.members & ~function.members).astype(function.pair.dtype)
    value = function.value + int(function.single @ beside)
    value += int(beside @ function.pair @ beside) // 2
    single = function.single + function.pair @ beside
    # What is missing, as far as it matters: nothing below is larger than `bound`.
    bound = int(abs(single).sum()) + int(abs(function.pair).sum())
    missing = max(min(function.wanted - value, bound + 1), -bound)
    kind = fits(4 * bound + 4)
    single, pair = single.astype(kind), function.pair.astype(kind)
    classes.sort(key=lambda one: -int(max(single[i] for i in one)))
    # What flips of later classes can add to each flip's own gain, at most.
    later = [np.zeros(size, dtype=kind)]
    for one in reversed(classes[1:]):
        gains = np.where(node.apart[:, one], 0, np.maximum(pair[:, one], 0))
        later.append(later[-1] + gains.max(axis=1))
    later.reverse()
    work: list[Any] = [
        (0, node.members[None], np.zeros(1, dtype=kind), single[None], node.open[None])
    ]
    while work:
        depth, sets, values, gains, allowed = work.pop()
        # The most that is reached, if each class gives its best flip.
        top = values.copy()
        for k in range(depth, len(classes)):
            one = classes[k]
            best = np.where(allowed[:, one], gains[:, one] + later[k][one], 0)
            top = top + np.maximum(best, 0).max(axis=1)
        keep = (top >= missing).astype(bool)
        sets, values, gains, allowed = sets[keep], values[keep], gains[keep], allowed[keep]
        if not len(sets):
            continue
        if depth == len(classes):
            yield sets
            continue
        for start in range(0, len(sets), ROWS):
            rows = slice(start, start + ROWS)
            block = [(sets[rows], values[rows], gains[rows], allowed[rows])]
            for flip in classes[depth]:
                taking = rows.start + np.flatnonzero(allowed[rows, flip])
                more = sets[taking].copy()
                more[:, flip] = True
                block.append(
                    (
                        more,
                        values[taking] + gains[taking, flip],
                        gains[taking] + pair[flip],
                        allowed[taking] & ~node.apart[flip],
                    )
                )
            joined = (np.concatenate(part) for part in zip(*block, strict=True))
            work.append((depth + 1, *joined))


# --- the file -------------------------------------------------------------------------------------


class Lines:
    """The lines of a proof, one after the other."""

    def __init__(self, path: Any) -> None:
        try:
            with gzip.open(path) as file:
                text = file.read().decode("ascii")
        except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
            raise Rejected("no gzip file of ASCII") from error
        self.lines = [line.removesuffix(" ") for line in text.split("\n")]
        require(self.lines.pop() == "", "a last line that does not end")
        self.number = -1

    def next(self) -> str:
        """The next line."""
        self.number += 1
        require(self.number < len(self.lines), "a proof that ends too soon")
        return self.lines[self.number]

    def words(self) -> list[str]:
        """The next line's words."""
        line = self.next()
        require(LINE.fullmatch(line), f"a line that is none: {line}")
        return line.split()


LINE = re.compile(r"[a-z]+( -?[0-9]+(\*[1-9][0-9]*)?)*")
NUMBER = re.compile(r"-?[0-9]+")
TERM = re.compile(r"(-?)([0-9]+)(?:\*([0-9]+))?")


def number(word: str) -> int:
    """A whole number."""
    require(NUMBER.fullmatch(word), f"no whole number: {word}")
    return int(word)


def read_cut(problem: Problem, words: list[str]) -> Cuts:
    """A cut that holds."""
    require(words, "a cut of nothing")
    size = len(problem.neurons)
    flips, stays = np.zeros((1, size), dtype=bool), np.zeros((1, size), dtype=bool)
    weight = np.zeros(len(problem.box.image), dtype=object)
    needed = 0
    for word in words:
        found = TERM.fullmatch(word)
        require(found, f"no term of a cut: {word}")
        assert found is not None
        minus, neuron, times = found.groups()
        multiplier = 1 if times is None else int(times)
        require(multiplier > 0, "a multiplier of 0")
        require(int(neuron) in problem.position, f"neuron {neuron} cannot flip")
        i = problem.position[int(neuron)]
        require(not flips[0, i] and not stays[0, i], f"neuron {neuron} twice")
        (stays if minus else flips)[0, i] = True
        row = problem.flips.toward[[i]]
        sign = -multiplier if minus else multiplier
        weight[row.indices] += sign * row.data.astype(object)
        needed += multiplier * (problem.flips.stay[i] if minus else problem.flips.demand[i])
    require(problem.box.most(weight) < needed, "a cut that some image may meet")
    return Cuts(flips, stays)


def check(network_path: Any, image_path: Any, proof_path: Any) -> str:
    """What a proof proves.

    Raises
    ------
    Rejected
        If it does not follow, or is not about this network and image.
    """
    network = read_network(network_path)
    lines = Lines(proof_path)
    about = read_header(lines.next(), network)
    require(about["network"] == network.digest, "another network")
    grid = GRID if about["domain"] == "continuous" else 1
    box = read_box(image_path, network.levels, about)
    require(len(box.image) == network.layers[0].weight.shape[1], "an image of another size")
    digest = hashlib.sha256(repr(box.image.tolist()).encode()).hexdigest()
    require(about["image"] == digest, "another image")
    reached = witnessed(network, box, grid, about)
    problem = Problem(network, box, grid)
    size = len(problem.neurons)
    root = Node(
        members=np.zeros(size, dtype=bool),
        open=np.ones(size, dtype=bool),
        apart=np.zeros((size, size), dtype=bool),
        cuts=Cuts(np.zeros((0, size), dtype=bool), np.zeros((0, size), dtype=bool)),
    )
    follow(problem, root, lines, about)
    require(lines.number + 1 == len(lines.lines), "lines behind the end")
    return sentence(about, reached, network.unit)


def read_header(line: str, network: Network) -> dict[str, Any]:
    """The first line, after all was seen that its claim needs."""
    try:
        about = json.loads(line)
    except ValueError as error:
        raise Rejected("a header that is no JSON") from error
    needed = {"format", "network", "image", "claim", "source", "targets", "ties"}
    needed |= {"epsilon", "l1", "domain", "direction", "fixed"}
    require(isinstance(about, dict) and needed <= set(about), "a header's keys")
    require(about["format"] == FORMAT, "another format")
    choices = {
        "domain": ("continuous", "pixels"),
        "direction": ("both", "lighten", "darken"),
        "ties": ("lowest", "never", "always"),
        "claim": ("margin", "robust", "flip"),
    }
    for key, values in choices.items():
        require(about[key] in values, f"{key}: {about[key]}")
    require(is_fraction(about["epsilon"]), "epsilon")
    require(about["l1"] is None or is_fraction(about["l1"]), "l1")
    require(about["claim"] != "margin" or is_fraction(about.get("bound")), "bound")
    inputs, classes = network.layers[0].weight.shape[1], len(network.bias)
    require(are_places(about["fixed"], inputs), "fixed")
    source, targets = about["source"], about["targets"]
    require(isinstance(targets, list) and targets, "targets")
    require(are_places([source, *targets], classes), "classes")
    if about["claim"] != "robust":
        pairs = about.get("witness")
        require(isinstance(pairs, list), "the witness")
        require(all(isinstance(pair, list) and len(pair) == 2 for pair in pairs), "the witness")
        require(are_places([pixel for pixel, _ in pairs], inputs), "the witness's pixels")
        top = network.levels * GRID
        require(all(type(x) is int and 0 <= x <= top for _, x in pairs), "the witness's steps")
    return dict(about)


def are_places(values: Any, end: int) -> bool:
    """Whether this is a list of different whole numbers from 0 to below an end."""
    if not isinstance(values, list) or not all(type(v) is int and 0 <= v < end for v in values):
        return False
    return len(set(values)) == len(values)


def is_fraction(value: Any) -> bool:
    """Whether this is a fraction in lowest terms, as text."""
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]+(/[1-9][0-9]*)?", value):
        return False
    return str(Fraction(value)) == value


def witnessed(network: Network, box: Box, grid: int, about: dict[str, Any]) -> int:
    """The margin of the witness in units of the head, after it was seen to be admissible."""
    if about["claim"] == "robust":
        return 0
    image = box.image.copy()
    for pixel, steps in about["witness"]:
        image[pixel] = steps
    require(box.has(image), "a witness that is not admissible")
    first, *deeper = network.layers
    state = np.where(first.weight @ image >= first.threshold * grid, 1, -1)
    for layer in deeper:
        state = np.where(layer.weight @ state >= layer.threshold, 1, -1)
    logits = network.head @ state + network.bias
    margins = {t: int(logits[t] - logits[about["source"]]) for t in about["targets"]}
    if about["claim"] == "flip":
        beaten = (
            m > 0 or (m == 0 and wins_ties(about["ties"], about["source"], t))
            for t, m in margins.items()
        )
        require(any(beaten), "a witness that is no flip")
    return max(margins.values())


def follow(problem: Problem, root: Node, lines: Lines, about: dict[str, Any]) -> None:
    """Follow the cuts and trees of a proof."""
    targets = [] if about["claim"] == "flip" else about["targets"]
    words = lines.words()
    cuts = [root.cuts]
    while words[0] == "cut":
        cuts.append(read_cut(problem, words[1:]))
        words = lines.words()
    root = replace(root, cuts=Cuts.joined(cuts)).looked()
    for target in targets:
        require(words == ["target", str(target)], f"target {target} should follow")
        goal = problem.goal(about["source"], target, about)
        nodes = [root]
        while nodes:
            nodes.extend(read_node(problem, goal, nodes.pop(), lines))
        words = lines.words()
    require(words == ["end"], "the end should follow")


def read_node(problem: Problem, goal: Goal, node: Node, lines: Lines) -> list[Node]:
    """Read a node to its last line; its children, the first at the end."""
    while True:
        kind, *words = lines.words()
        if kind == "cut":
            node = node.with_cuts(read_cut(problem, words))
        elif kind == "function":
            bits, *numbers = map(number, words) if words else [99]
            require(-98 <= bits <= 98, "BITS out of range")
            node = replace(node, function=quadratic(problem, goal, node, bits, numbers))
        elif kind == "branch":
            require(len(words) == 1, "a branch on one neuron")
            neuron = number(words[0])
            require(neuron in problem.position, "a branch on a neuron that cannot flip")
            chosen, without = node.branch(problem.position[neuron])
            return [without, chosen]
        else:
            require([kind, *words] == ["search"], f"a line that is none: {kind}")
            search(problem, goal, node)
            return []


def sentence(about: dict[str, Any], reached: int, unit: Fraction) -> str:
    """What is proved, in words."""
    limit = "free" if about["l1"] is None else about["l1"]
    fixed = len(about["fixed"])
    within = (
        f"{about['domain']} image within {about['epsilon']} of this one "
        f"({about['direction']}, {fixed} pixels fixed, L1 {limit})"
    )
    source, targets, ties = about["source"], about["targets"], about["ties"]
    if about["claim"] == "flip":
        return f"one {within} flips from class {source} to one of {targets}, ties {ties}"
    if about["claim"] == "robust":
        return f"no {within} flips from class {source} to one of {targets}, ties {ties}"
    return (
        f"no {within} gives one of {targets} a margin above {about['bound']} over class {source};"
        f" one gives {Fraction(reached) * unit}"
    )
