"""Check a proof of bnnopt: ``python check.py network.npz image.npy proof``.

Standard library, whole numbers and fractions only, nothing of bnnopt. docs/proofs.md has the format,
and why each rule is sound; whatever is in the three files is a stranger's word until it is derived
here. Images are lists of whole *steps*: 2^20 a level, or 1 where only whole levels are admitted. A
neuron of the first layer *flips* where its sign is not the one at the centre of the box (at the
image, where there is a budget). A neuron behind it is on iff its *surplus*, weights times
activations of 0 and 1 less what it needs, is at least 0.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import math
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from operator import add, mul
from typing import Any

VERSION, GRID, LARGEST = "bnnopt proof 1", 2**20, 2**29
CODES = dict(zip("u1 i1 u2 i2 u4 i4 u8 i8 b1 f2 f4 f8".split(), "BbHhIiQq?efd", strict=True))


class Rejected(Exception):  # noqa: N818
    """What is wrong with a proof, or with a file that it speaks of."""


def need(holds: Any, complaint: str) -> None:
    """Reject unless something holds."""
    if not holds:
        raise Rejected(complaint)


def read_npy(data: bytes) -> tuple[str, Any, list[Any]]:
    """The type, such as "f4", the shape and the numbers of an .npy file."""
    need(data[:8] == b"\x93NUMPY\x01\x00" and len(data) < LARGEST, "not an .npy file, version 1.0")
    start = 10 + int.from_bytes(data[8:10], "little")
    about = ast.literal_eval(data[10:start].decode("latin1"))
    order, kind, shape = about["descr"][0], about["descr"][1:], about["shape"]
    need(order in "|<" and kind in CODES and not about["fortran_order"], "an array's type")
    count = math.prod(side if type(side) is int and side >= 0 else LARGEST for side in shape)
    need(len(data) - start == count * int(kind[1]), "an array's size")
    return kind, shape, list(struct.unpack(f"<{count}{CODES[kind]}", data[start:]))


def signs_of(packed: list[int], height: int, width: int) -> list[list[int]]:
    """Rows of -1 and 1, a bit each, the first the highest of its byte."""
    need(len(packed) == -(-height * width // 8) < LARGEST, "packed weights do not fit")
    signs = [1 if bit == "1" else -1 for byte in packed for bit in f"{byte:08b}"]
    return [signs[j * width : (j + 1) * width] for j in range(height)]


class Network:
    """Layers of rows, each of columns and their whole weights, and a head of whole numbers.

    ``layers[0]`` comes with thresholds, in levels, others with what their neurons need. Logits
    are ``head[c] . signs + bias[c]``, times the fraction ``unit``.
    """

    def __init__(self, path: Any) -> None:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            need(len(entries) < 300 and sum(e.file_size for e in entries) < LARGEST, "too large")
            files = {e.filename.removesuffix(".npy"): read_npy(archive.read(e)) for e in entries}
        about = json.loads(bytes(files["metadata"][2]))
        arrays = {name: numbers for name, (_, _, numbers) in files.items()}
        if about["format"] == 1:
            sizes = [about["num_inputs"], *about["widths"], about["num_classes"]]
            kinds = [{"kind": "dense", "shape": [out, into]} for into, out in pairwise(sizes)]
            about |= {"layers": kinds[:-1], "output": kinds[-1], "format": 2}
        need(about["format"] == 2 and type(about["levels"]) is int, "the network's format")
        self.levels, self.layers, self.inputs = about["levels"], [], about["layers"][0]["shape"][1]
        width = self.inputs
        for number, layer in enumerate(about["layers"], 1):
            rows, needs = self.rows(arrays, layer, number), arrays[f"threshold_{number}"]
            need(layer["shape"] == [len(needs), width] and len(needs) == len(rows), "no chain")
            need(all(type(x) is int for x in needs), "a threshold that is not whole")
            if number > 1:
                needs = [-((-sum(weights) - t) // 2) for (_, weights), t in zip(rows, needs)]
            self.layers.append((rows, needs))
            width = len(rows)
        if len(self.layers) == 1:  # one that copies the first layer
            self.layers.append(([([j], [1]) for j in range(width)], [1] * width))
        self.read_head(arrays, about["output"], width)
        whole = repr((self.levels, self.layers, self.head, self.bias, self.unit))
        self.digest = hashlib.sha256(whole.encode()).hexdigest()

    @staticmethod
    def rows(arrays: Any, about: Any, number: int) -> list[tuple[list[int], list[int]]]:
        """Columns and weights of each neuron of a hidden layer."""
        height, width = about["shape"]
        if about["kind"] == "dense":
            columns = list(range(width))
            return [(columns, row) for row in signs_of(arrays[f"weight_{number}"], height, width)]
        need(about["kind"] == "sparse", f"layers of kind {about['kind']!r} are not read here")
        data, places, starts = (arrays[f"{name}_{number}"] for name in ("data", "indices", "indptr"))
        need(starts == sorted(starts) and starts[0] == 0 and starts[-1] == len(data), "rows")
        need(all(w == int(w) for w in data) and all(0 <= i < width for i in places), "weights")
        rows = [(places[a:b], [int(w) for w in data[a:b]]) for a, b in pairwise(starts)]
        need(all(len(set(c)) == len(c) == len(w) for c, w in rows), "columns")
        return rows

    def read_head(self, arrays: Any, about: Any, width: int) -> None:
        """Put the head on the grid of `bnnopt.OutputLayer.on_grid`, and count in its steps."""
        weight, is_real = arrays["output_weight"], about["kind"] == "real"
        scale, bias = ([Fraction(x) for x in arrays[f"output_{n}"]] for n in ("scale", "bias"))
        classes = len(scale)
        need(about["shape"] == [classes, width] and len(bias) == classes > 1, "the head's shape")
        rows: Any = [weight[c * width : (c + 1) * width] for c in range(classes)]
        if not is_real:
            rows = signs_of(weight, classes, width)
        else:  # products are doubles
            rows = [[Fraction(float(s * Fraction(w))) for w in row] for s, row in zip(scale, rows)]
            scale = [Fraction(1)] * classes
        step = Fraction(0)
        while True:
            sizes = zip(scale, rows, bias)
            largest = max(abs(s) * sum(map(abs, row)) + abs(b) for s, row, b in sizes)
            power = Fraction(1)
            while power <= largest or 0 < largest <= power / 2:
                power = power * 2 if power <= largest else power / 2
            if power / 2**50 <= step:
                break
            step = power / 2**50
            bias = [round(b / step) * step for b in bias]
            if is_real:
                rows = [[round(w / step) * step for w in row] for row in rows]
            else:
                scale = [round(s / step) * step for s in scale]
        self.unit, self.bias = step, [int(b / step) for b in bias]
        self.head = [[int(s * w / step) for w in row] for s, row in zip(scale, rows)]

    def logits(self, image: list[int], level: int) -> list[int]:
        """Of an image of so many steps a level, in units of the head."""
        rows, needs = self.layers[0]
        on = [sum(w * image[i] for i, w in zip(*r)) >= level * t for r, t in zip(rows, needs)]
        for rows, needs in self.layers[1:]:
            on = [sum(w for i, w in zip(*row) if on[i]) >= t for row, t in zip(rows, needs)]
        signs = [1 if x else -1 for x in on]
        return [sum(map(mul, row, signs)) + b for row, b in zip(self.head, self.bias)]


def read_image(data: bytes, levels: int) -> list[Fraction]:
    """An .npy file in steps, before rounding; floats at or next to k / levels are level k."""
    kind, _, pixels = read_npy(data)
    found = []
    for x in pixels:
        value = Fraction(x) * (levels if kind[0] in "bf" else 1)
        if kind in ("f2", "f4") and levels * 8 <= {"f2": 2**11, "f4": 2**24}[kind]:
            bits, near = ("<h", "<e") if kind == "f2" else ("<i", "<f"), round(value) / levels
            ours, given = (struct.unpack(bits[0], struct.pack(bits[1], v))[0] for v in (near, abs(x)))
            value = Fraction(round(value)) if abs(ours - given) <= 1 else value
        need(0 <= value <= levels, "a pixel outside the levels")
        found.append(value * GRID)
    return found


class Box:
    """The images that a proof speaks of: in steps from ``low`` to ``high`` around ``image``.

    ``budget`` is what their changes may add up to, if that is limited.
    """

    def __init__(self, network: Network, exact: list[Fraction], about: Any) -> None:
        self.level = {"continuous": GRID, "pixels": 1}[about["domain"]]
        self.image, step = [round(x) for x in exact], GRID // self.level
        if step > 1:
            need(all(x % step == 0 for x in self.image), "an image that is not of whole levels")
            exact = [Fraction(x) for x in self.image]
        reach, half = self.budget_of(about["epsilon"], network.levels), Fraction(1, 2)
        need(about["direction"] in ("both", "lighten", "darken"), "the direction")
        falls, rises = about["direction"] != "lighten", about["direction"] != "darken"
        fixed, top = set(about["fixed"]), network.levels * GRID
        if Fraction(about["epsilon"]) == 0:
            fixed = set(range(len(exact)))
        self.low, self.high = list(self.image), list(self.image)
        for i, x in enumerate(exact):
            if falls and i not in fixed:
                self.low[i] = math.ceil(max(x - reach, 0) - half)
            if rises and i not in fixed:
                self.high[i] = math.floor(min(x + reach, top) + half)
        self.budget = None
        if about["l1"] is not None:
            self.budget = self.budget_of(about["l1"], network.levels) // step
        for part in (self.low, self.high, self.image):
            part[:] = [x // step for x in part]

    def admits(self, z: list[int]) -> bool:
        """Whether it is one of them."""
        moved = sum(abs(x - y) for x, y in zip(z, self.image))
        is_inside = all(a <= x <= b for a, x, b in zip(self.low, z, self.high))
        return is_inside and (self.budget is None or moved <= self.budget)

    def budget_of(self, text: str, levels: int) -> int:
        """Steps: the nearest number where that is meant, else the next one up; whole levels."""
        need(isinstance(text, str) and text[:1].isdigit(), "a budget")
        steps = Fraction(text) * levels * GRID
        if self.level == 1:
            return math.floor(steps / GRID + Fraction(1, 10**9)) * GRID
        is_near = abs(steps - round(steps)) <= Fraction(GRID, 10**9)
        return round(steps) if is_near else math.ceil(steps)


class Flips:
    """The neurons that may flip in a box, ascending.

    ``row[j]`` has the weights with the sign with which a flip needs a large sum: at least
    ``demand[j]`` above the centre, doubled; where j stays, its negative is at least ``keep[j]``.
    """

    def __init__(self, network: Network, box: Box) -> None:
        self.box, self.middle = box, list(map(add, box.low, box.high))
        self.width = [b - a for a, b in zip(box.low, box.high)]
        origin = self.middle if box.budget is None else [2 * x for x in box.image]
        self.on, self.row, self.demand, self.keep = [], {}, {}, {}
        for j, (row, threshold) in enumerate(zip(*network.layers[0])):
            needed = 2 * box.level * threshold
            centre = sum(w * self.middle[i] for i, w in zip(*row))
            reach = sum(abs(w) * self.width[i] for i, w in zip(*row))
            self.on.append(int(sum(w * origin[i] for i, w in zip(*row)) >= needed))
            if centre - reach < needed <= centre + reach:
                sign, self.row[j] = 1 - 2 * self.on[j], [0] * network.inputs
                for i, w in zip(*row):
                    self.row[j][i] = sign * w
                sides = needed - centre, centre - needed + 2  # a sum that is off is a step below
                self.demand[j], self.keep[j] = sides[:: 1 - 2 * self.on[j]]

    def refutes(self, multipliers: dict[int, int]) -> bool:
        """Whether no image has all flips with a multiplier above 0 and none with one below."""
        need(all(j in self.row for j in multipliers), "a neuron that cannot flip")
        total, needed = [0] * len(self.width), 0
        for j, y in multipliers.items():
            needed += y * self.demand[j] if y > 0 else -y * self.keep[j]
            row = self.row[j] if y == 1 else [y * w for w in self.row[j]]
            total = list(map(add, total, row))
        if self.box.budget is None:
            return sum(map(mul, map(abs, total), self.width)) < needed
        return self.most_within_budget(total) < needed

    def most_within_budget(self, total: list[int]) -> int:
        """The most of such a sum: the changes that move it most are made first."""
        box, left = self.box, self.box.budget or 0
        most = sum(w * (2 * x - m) for w, x, m in zip(total, box.image, self.middle))
        rooms = zip(total, box.low, box.image, box.high)
        gains = [(abs(w), c - b if w > 0 else b - a) for w, a, b, c in rooms]
        for gain, room in sorted(gains, reverse=True):
            most, left = most + 2 * gain * min(room, left), left - min(room, left)
        return most


def packed(numbers: Iterable[int], field: int) -> int:
    """One number: the sum of all, each ``field`` bits further up than the one before."""
    return sum(number << field * i for i, number in enumerate(numbers))


class Margin:
    """The margin of a target over the source, by flips, in units of the head.

    Of each layer the neurons are kept that flips may turn. ``change[j]`` is what the flip of j
    adds to the surplus of the second layer; ``deeper`` has the rows of further layers, and their
    surplus where none of the kept neurons before is on.
    """

    def __init__(self, network: Network, flips: Flips, source: int, target: int) -> None:
        self.deeper: list[Any] = []
        on, kept = flips.on, list(flips.row)
        for number, (rows, needs) in enumerate(network.layers[1:]):
            weights = [dict(zip(*row)) for row in rows]
            turns = [-1 if number == 0 and on[i] else 1 for i in kept]
            start = [sum(w for i, w in r.items() if on[i]) - t for r, t in zip(weights, needs)]
            moves = [[r.get(i, 0) * turn for i, turn in zip(kept, turns)] for r in weights]
            least = [y + sum(min(w, 0) for w in row) for y, row in zip(start, moves)]
            most = [y + sum(max(w, 0) for w in row) for y, row in zip(start, moves)]
            live = [i for i, (a, b) in enumerate(zip(least, most)) if a < 0 <= b]
            on, part = [int(y >= 0) for y in least], ([moves[i] for i in live], [start[i] for i in live])
            if number == 0:
                self.surplus = part[1]
                self.change = {j: [row[at] for row in part[0]] for at, j in enumerate(kept)}
            else:
                self.deeper.append(part)
            kept = live
        gain = list(map(lambda t, s: t - s, network.head[target], network.head[source]))
        self.gain = [2 * gain[i] for i in kept]
        self.constant = network.bias[target] - network.bias[source] - sum(gain)
        self.constant += 2 * sum(g for g, x in zip(gain, on) if x)
        self.pack()

    def pack(self) -> None:
        """Surpluses as fields of one number, of which the highest bit is 1 where on."""
        most = max(map(abs, self.surplus), default=0)
        most += sum(max(map(abs, row), default=0) for row in self.change.values())
        self.field = field = most.bit_length() + 1
        self.moved, self.steps = {j: packed(row, field) for j, row in self.change.items()}, []
        for rows, start in self.deeper:
            sizes = [abs(y) + sum(map(abs, row)) for y, row in zip(start, rows)]
            field, before = max(sizes, default=0).bit_length() + 1, field
            columns = [packed(column, field) for column in zip(*rows)]
            bits = [1 << before * i + before - 1 for i in range(len(columns))]
            cells = list(zip(bits, columns))
            groups = [(sum(bits[a : a + 8]), cells[a : a + 8], {}) for a in range(0, len(bits), 8)]
            self.steps.append((packed([y + (1 << field - 1) for y in start], field), field, groups))
        places = {g: [i for i, h in enumerate(self.gain) if h == g] for g in set(self.gain)}
        self.worth = [(g, sum(1 << field * i + field - 1 for i in at)) for g, at in places.items()]

    def of(self, fields: int) -> int:
        """The margin at a packed surplus, whose other bits do not count."""
        for start, _, groups in self.steps:
            on, fields = fields, start
            for bits, cells, known in groups:
                part = on & bits
                if part not in known:
                    known[part] = sum(column for bit, column in cells if bit & part)
                fields += known[part]
        return self.constant + sum([g * (fields & bits).bit_count() for g, bits in self.worth])


class Node:
    """All sets of flips with those in `members`, some of `open`, and no others.

    Sets with two flips that are `apart` have no image, nor have those that a cut forbids: with all
    of its first flips and none of its second. With flips S beside the members, the margin times 2^bits is
    at most ``value + sum of single over S + sum of pair over the pairs of S``.
    """

    def __init__(self, margin: Margin, wanted: int, cuts: list[Any]) -> None:
        self.margin, self.wanted, self.surplus = margin, wanted, margin.surplus
        self.members, self.open, self.cuts = frozenset[int](), sorted(margin.change), cuts
        self.apart: dict[int, set[int]] = {j: set() for j in self.open}
        self.goal = self.value = wanted
        self.single = dict.fromkeys(self.open, 0)
        self.pair = dict.fromkeys(self.open, self.single)
        self.apply_cuts()

    def copy(self) -> Node:
        """One that can be changed."""
        node = Node.__new__(Node)
        vars(node).update(vars(self), apart={j: set(self.apart[j]) for j in self.open})
        return node

    def apply_cuts(self) -> None:
        """Close flips and part pairs that a cut forbids here; keep the others that matter."""
        cuts, self.cuts = self.cuts, []
        for flipped, kept in cuts:
            left, inside = flipped - self.members, self.members.union(self.open)
            if flipped <= inside and not kept & self.members:
                if len(left) == 1 and not kept & inside:
                    self.open = [j for j in self.open if j not in left]
                elif len(left) == 2 and not kept & inside:
                    a, b = left
                    self.apart[a].add(b)
                    self.apart[b].add(a)
                else:
                    self.cuts.append((flipped, kept))

    def branch(self, new: int) -> tuple[Node, Node]:
        """Its sets with a flip, and those without."""
        need(new in self.open, f"{new} is not open here")
        self.open = [j for j in self.open if j != new]
        beside = self.copy()
        beside.open = [j for j in self.open if j not in self.apart[new]]
        beside.members = self.members | {new}
        beside.surplus = list(map(add, self.surplus, self.margin.change[new]))
        beside.value = self.value + self.single[new]
        beside.single = {j: self.single[j] + self.pair[new][j] for j in beside.open}
        beside.apply_cuts()
        return beside, self

    def ranges(self) -> list[tuple[list[int], list[int]]]:
        """The least and the largest surplus of each layer; of a class at most one flips."""
        classes: list[list[int]] = []
        for j in self.open:
            fits = [c for c in classes if self.apart[j].issuperset(c)]
            (fits or [classes.append([]) or classes[-1]])[0].append(j)  # type: ignore[func-returns-value]
        low, high = list(self.surplus), list(self.surplus)
        for members in classes:
            moves = list(zip(*(self.margin.change[j] for j in members)))
            low = [y + min(0, *move) for y, move in zip(low, moves)]
            high = [y + max(0, *move) for y, move in zip(high, moves)]
        found = [(low, high)]
        for rows, start in self.margin.deeper:
            ends = list(zip(*found[-1]))
            low, high = list(start), list(start)
            for j, row in enumerate(rows):
                low[j] += sum(w for w, (a, b) in zip(row, ends) if (b if w < 0 else a) >= 0)
                high[j] += sum(w for w, (a, b) in zip(row, ends) if (a if w < 0 else b) >= 0)
            found.append((low, high))
        return found

    def take_function(self, bits: int, numbers: list[int]) -> None:
        """Replace each neuron's gain where on by a function of its surplus y that is no less.

        Slopes of the last layer's neurons come first, then those of the one before, and so on;
        then curves of the second layer's. ``slope y + curve y^2`` gets the least constant that
        lifts it to the gain at all whole y of the range.
        """
        up = lambda x: x << bits if bits >= 0 else -(-x >> -bits)  # noqa: E731
        margin, ranges, at = self.margin, self.ranges(), 0
        value, gain = up(margin.constant), list(map(up, margin.gain))
        for (rows, start), (low, high) in zip(margin.deeper[::-1], ranges[:0:-1]):
            slopes, at = numbers[at : at + len(rows)], at + len(rows)
            for g, s, y, a, b in zip(gain, slopes, start, low, high, strict=True):
                value += max((g if x >= 0 else 0) - s * x for x in {a, -1, 0, b} if a <= x <= b)
                value += s * y
            gain = [sum(map(mul, slopes, column)) for column in zip(*rows)]
        r, surplus = len(gain), self.surplus
        slope, curve = numbers[at : at + r], numbers[at + r :]
        need(len(curve) == r, "the number of coefficients")
        for g, s, c, y, low, high in zip(gain, slope, curve, surplus, *ranges[0]):
            value += max((g if x >= 0 else 0) - (s + c * x) * x for x in range(low, high + 1))
            value += (s + c * y) * y
        self.value, self.goal = value, self.wanted << bits if bits >= 0 else self.wanted >> -bits
        self.single, self.pair, changes = {}, {}, [(j, margin.change[j]) for j in self.open]
        for j, move in changes:
            tilt = (s + c * (2 * y + v) for s, c, y, v in zip(slope, curve, surplus, move))
            bent = [2 * c * v for c, v in zip(curve, move)]
            self.single[j] = sum(map(mul, move, tilt))
            self.pair[j] = {i: sum(map(mul, bent, other)) for i, other in changes}

    def search(self) -> None:
        """See all sets that the function allows to be wanted: cuts must forbid those that are.

        In packed numbers, the field of a flip is its highest bit, and what it adds beside the path
        and at most with all flips before it in the order.
        """
        single, pair, apart = self.single, self.pair, self.apart
        free = {j: [i for i in self.open if i != j and i not in apart[j]] for j in self.open}
        use = {j: 2 * single[j] + sum(max(pair[j][i], 0) for i in free[j]) for j in self.open}
        order = sorted(self.open, key=use.__getitem__)
        place = {j: at for at, j in enumerate(order)}
        below = [[i for i in free[j] if place[i] < place[j]] for j in order]
        gains = [sum(max(pair[j][i], 0) for i in b) for j, b in zip(order, below)]
        adds = [single[j] + gain for j, gain in zip(order, gains)]
        most = sum(map(abs, adds)) + sum(abs(pair[j][i]) for j in order for i in order)
        field = -(-(most.bit_length() + 1) // 30) * 30  # whole digits of Python's numbers
        top, ones = 1 << field - 1, (1 << field) - 1
        pairs = [packed([pair[j][i] for i in order[:at]], field) for at, j in enumerate(order)]
        tops = [sum(top << field * place[i] for i in b) for b in below]
        moved, worth = [self.margin.moved[j] for j in order], self.margin.of
        goal, wanted = self.goal, self.wanted

        def visit(path: Any, value: int, fields: int, allowed: int, surplus: int) -> None:
            signs = fields & allowed
            reach = (fields & (signs - (signs >> field - 1))) % ones  # all that is above 0
            while allowed and value + reach >= goal:
                at = allowed.bit_length() // field - 1
                allowed ^= top << field * at
                most = (fields >> field * at & ones) - top
                reach -= most if most > 0 else 0
                if value + most + reach >= goal:
                    new, after = value + most - gains[at], surplus + moved[at]
                    if new >= goal and worth(after) >= wanted:
                        self.must_be_cut([order[i] for i in (*path, at)])
                    if tops[at] & allowed:
                        visit((*path, at), new, fields + pairs[at], tops[at] & allowed, after)

        half = 1 << self.margin.field - 1
        start = packed([y + half for y in self.surplus], self.margin.field)
        if worth(start) >= wanted:
            self.must_be_cut([])
        fields = packed([x + top for x in adds], field)
        visit((), self.value, fields, packed([top] * len(order), field), start)

    def must_be_cut(self, flips: list[int]) -> None:
        """Reject the proof unless a wanted set has no image."""
        made = self.members.union(flips)
        is_cut = any(flipped <= made and not kept & made for flipped, kept in self.cuts)
        need(is_cut, f"a set that is wanted and not cut: {sorted(made)}")


class Proof:
    """The lines of a proof, and what they must be about."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.number = stream, 0

    def words(self) -> list[str]:
        """Of the next line."""
        self.number += 1
        line = self.stream.readline(LARGEST)
        need(line.endswith("\n"), "the proof ends too early")
        return list(line.split())

    def cut(self, words: list[str], flips: Flips) -> tuple[frozenset[int], frozenset[int]]:
        """Flips, and neurons that stay, which no image has together."""
        pairs = [word.partition("*")[::2] for word in words]
        times = {abs(int(j)): int(y or 1) * (-1 if j[0] == "-" else 1) for j, y in pairs}
        need(len(times) == len(words) and flips.refutes(times), "multipliers that refute nothing")
        made = frozenset(j for j, y in times.items() if y > 0)
        return made, frozenset(times) - made

    def close(self, node: Node, flips: Flips) -> None:
        """The lines about the sets of a node."""
        while (words := self.words()) != ["search"]:
            if words[0] == "cut":
                node.cuts = [*node.cuts, self.cut(words[1:], flips)]
                node.apply_cuts()
            elif words[0] == "branch":
                beside, node = node.branch(int(words[1]))
                self.close(beside, flips)
            else:
                need(words[0] == "function", f"a line that begins with {words[0]!r}")
                need(abs(int(words[1])) <= 99, "a function's bits")
                node.take_function(int(words[1]), list(map(int, words[2:])))
        node.search()

    def claim(self, network: Network, exact: list[Fraction]) -> str:
        """Check all lines: what they prove."""
        self.number += 1
        about = json.loads(self.stream.readline(LARGEST))
        need(about["format"] == VERSION, "another version of proofs")
        need(about["network"] == network.digest, "the proof is about another network")
        need(len(exact) == network.inputs, "the image's size")
        box = Box(network, exact, about)
        digest = hashlib.sha256(repr(box.image).encode()).hexdigest()
        need(about["image"] == digest, "the proof is about another image")
        source, targets, said = about["source"], about["targets"], witness(network, box, about)
        flips, cuts, words = Flips(network, box), [], self.words()
        while words[0] == "cut":
            cuts.append(self.cut(words[1:], flips))
            words = self.words()
        for target in targets if about["claim"] != "flip" else ():
            need(words == ["target", str(target)], f"not what follows is target {target}")
            margin = Margin(network, flips, source, target)
            least = wanted(about, network.unit, target)
            least += (margin.constant - least) % (math.gcd(*margin.gain) or 1)
            node = Node(margin, least, cuts)
            self.close(node, flips)
            words = self.words()
        need(words == ["end"] and not self.stream.read(1), "the end")
        return said


def wanted(about: Any, unit: Fraction, target: int) -> int:
    """The least margin, in units of the head, that the claim denies a target."""
    if about["claim"] == "margin":
        return math.floor(Fraction(about["bound"]) / unit) + 1
    ties = about["ties"]
    need(ties in ("lowest", "never", "always"), "the rule on ties")
    return 0 if ties == "always" or (ties == "lowest" and target < about["source"]) else 1


def witness(network: Network, box: Box, about: Any) -> str:
    """Replay the image of a claim, and state the claim."""
    classes = range(len(network.head))
    source, targets, claim = about["source"], about["targets"], about["claim"]
    need(all(type(c) is int and c in classes for c in (source, *targets)), "the classes")
    need(targets and source not in targets and claim in ("margin", "flip", "robust"), "the claim")
    level, fixed = ("" if box.level > 1 else "whole "), len(about["fixed"])
    limits = f", {about['direction']} only" * (about["direction"] != "both")
    limits += f", {fixed} pixels fixed" * (fixed > 0)
    limits += f", changes of at most {about['l1']} in sum" * (box.budget is not None)
    within = f"image of {level}levels within {about['epsilon']} of this one{limits}"
    goal = f"a flip from class {source} to {targets}, ties {about['ties']}"
    if claim == "robust":
        return f"no {within} is {goal}"
    image = list(box.image)
    for i, x in about["witness"]:
        image[i] = x
    need(box.admits(image), "the witness is outside the budget")
    logits = network.logits(image, box.level)
    margins = {c: logits[c] - logits[source] for c in targets}
    if claim == "flip":
        need(any(m >= wanted(about, network.unit, c) for c, m in margins.items()), "no flip")
        return f"an {within} is {goal}"
    best = max(margins.values()) * network.unit
    return (
        f"no {within} gives a class of {targets} a margin above {about['bound']} over class "
        f"{source}, and one gives {best}"
    )


FAULTS = (KeyError, IndexError, TypeError, ValueError, OverflowError, OSError, EOFError, SyntaxError)
FAULTS += (AttributeError, RecursionError, ZeroDivisionError, MemoryError, NotImplementedError)
FAULTS += (Rejected, struct.error, zipfile.BadZipFile, zlib.error, RuntimeError)


def check(network: Any, image: bytes, proof: Any) -> str:
    """What a proof proves, by files or paths of a network and a proof, and the image's bytes.

    Raises
    ------
    Rejected
        With the line that fails.
    """
    sys.setrecursionlimit(10_000)
    lines = None
    try:
        known = Network(network)
        exact = read_image(image, known.levels)
        with gzip.open(proof, "rt", encoding="ascii") as stream:
            lines = Proof(stream)
            return lines.claim(known, exact)
    except FAULTS as error:
        where = f"line {lines.number}" if lines else "network or image"
        raise Rejected(f"{where}: {error}") from None


if __name__ == "__main__":
    try:
        with open(sys.argv[2], "rb") as image_file:
            print("proved:", check(sys.argv[1], image_file.read(), sys.argv[3]))
    except (Rejected, IndexError, OSError) as fault:
        sys.exit(f"rejected: {fault}")
