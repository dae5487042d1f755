# ruff: noqa: B905 - the lengths of what is zipped are checked where it is read
"""Check a proof of bnnopt: ``python check.py network.npz image.npy proof``.

Standard library, whole numbers and fractions only, nothing of bnnopt. docs/proofs.md has the format
and why each rule is sound; what the three files say is a stranger's word until it is derived here.
Images are lists of whole *steps*: 2^20 a level, or 1 where only whole levels are admitted. A neuron
of the first layer *flips* where its sign is not that at the centre of the box (at the image, where
there is a budget). Neurons behind it are on iff their *surplus*, weights times activations of 0 and
1 less what they need, is at least 0. Margins are whole numbers, in units of the head.
"""

from __future__ import annotations

import ast
import copy
import gzip
import hashlib
import json
import math
import struct
import sys
import zipfile
from fractions import Fraction
from itertools import pairwise
from operator import add, mul
from typing import Any

VERSION, GRID, LARGEST = "bnnopt proof 1", 2**20, 2**29
CODES = {"u1": "B", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "f2": "e", "f4": "f", "f8": "d"}


class Rejected(Exception):  # noqa: N818
    """What is wrong with a proof, or with a file that it speaks of."""


def need(holds: Any, complaint: str) -> None:
    """Reject unless something holds."""
    if not holds:
        raise Rejected(complaint)


def read_npy(data: bytes) -> tuple[str, list[Any]]:
    """The type, such as "f4", and the numbers of an .npy file."""
    need(data[:8] == b"\x93NUMPY\x01\x00" and len(data) < LARGEST, "no .npy file of version 1.0")
    start = 10 + int.from_bytes(data[8:10], "little")
    about = ast.literal_eval(data[10:start].decode("latin1"))
    order, kind, sides = about["descr"][0], about["descr"][1:], about["shape"]
    need(order in "|<" and kind in CODES and not about["fortran_order"], "an array's type")
    count = math.prod(side if type(side) is int and side >= 0 else LARGEST for side in sides)
    need(len(data) - start == count * int(kind[1]), "an array's size")
    return kind, list(struct.unpack(f"<{count}{CODES[kind]}", data[start:]))


def signs_of(bits: list[int], height: int, width: int) -> list[list[int]]:
    """Rows of -1 and 1, a bit each, the first the highest of its byte."""
    need(len(bits) == -(-height * width // 8), "packed weights that do not fit")
    signs = [1 if bit == "1" else -1 for byte in bits for bit in f"{byte:08b}"]
    return [signs[j * width : (j + 1) * width] for j in range(height)]


class Network:
    """Layers of rows, each of columns and weights, and a head: ``head[c] . signs + bias[c]``."""

    def __init__(self, path: Any) -> None:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            need(len(entries) < 300 and sum(e.file_size for e in entries) < LARGEST, "too large")
            arrays = {e.filename[:-4]: read_npy(archive.read(e))[1] for e in entries}
        about = json.loads(bytes(arrays["metadata"]))
        if about["format"] == 1:
            sizes = [about["num_inputs"], *about["widths"], about["num_classes"]]
            kinds = [{"kind": "dense", "shape": [out, into]} for into, out in pairwise(sizes)]
            about |= {"layers": kinds[:-1], "output": kinds[-1], "format": 2}
        need(about["format"] == 2 and type(about["levels"]) is int, "the network's format")
        self.levels, self.layers = about["levels"], []
        width = self.inputs = about["layers"][0]["shape"][1]
        for number, layer in enumerate(about["layers"], 1):
            rows, needs = self.rows(arrays, layer, number), arrays[f"threshold_{number}"]
            need(layer["shape"] == [len(rows), width] and len(needs) == len(rows), "no chain")
            need(all(type(x) is int for x in needs), "a threshold that is not whole")
            if number > 1:  # with activations of 0 and 1
                needs = [-((-sum(weights) - t) // 2) for (_, weights), t in zip(rows, needs)]
            self.layers.append((rows, needs))
            width = len(rows)
        if len(self.layers) == 1:  # one more that copies it
            self.layers.append(([([j], [1]) for j in range(width)], [1] * width))
        self.read_head(arrays, about["output"], width)
        whole = repr((self.levels, self.layers, self.head, self.bias, self.unit))
        self.digest = hashlib.sha256(whole.encode()).hexdigest()

    def rows(self, arrays: Any, about: Any, number: int) -> list[tuple[list[int], list[int]]]:
        """Columns and weights of each neuron of a hidden layer."""
        (height, width), kind = about["shape"], about["kind"]
        if kind == "dense":
            columns = list(range(width))
            return [(columns, row) for row in signs_of(arrays[f"weight_{number}"], height, width)]
        need(kind == "sparse", f"layers of kind {kind!r} are not read here")
        weights, columns, ends = (arrays[f"{n}_{number}"] for n in ("data", "indices", "indptr"))
        need(all(type(x) is int for x in [*weights, *columns, *ends]), "rows that are not whole")
        rows = [(columns[a:b], weights[a:b]) for a, b in pairwise(ends)]
        need(all(len(c) == len(w) and sorted(set(c)) == c for c, w in rows), "columns")
        need(all(0 <= i < width for i in columns), "columns")
        return rows

    def read_head(self, arrays: Any, about: Any, width: int) -> None:
        """Put the head on the grid of `bnnopt.OutputLayer.on_grid`, and count in its steps."""
        scale, bias = ([Fraction(x) for x in arrays[f"output_{n}"]] for n in ("scale", "bias"))
        rows: Any = arrays["output_weight"]
        need(about["shape"] == [len(scale), width] and len(bias) == len(scale) > 1, "the head")
        if about["kind"] == "real":
            need(len(rows) == width * len(scale), "the head")
            rows = [rows[c * width : (c + 1) * width] for c in range(len(scale))]
        else:
            rows = signs_of(rows, len(scale), width)
        rows = [[Fraction(float(s * Fraction(w))) for w in row] for s, row in zip(scale, rows)]
        self.unit = Fraction(0)
        while True:  # rounding may reach the next power of two
            largest = max(sum(map(abs, row)) + abs(b) for row, b in zip(rows, bias))
            power = largest.numerator.bit_length() - largest.denominator.bit_length() + 1
            if Fraction(2) ** (power - 50) <= self.unit:
                break
            self.unit = Fraction(2) ** (power - 50)
            rows = [[round(w / self.unit) * self.unit for w in row] for row in rows]
            bias = [round(b / self.unit) * self.unit for b in bias]
        self.head = [[int(w / self.unit) for w in row] for row in rows]
        self.bias = [int(b / self.unit) for b in bias]

    def logits(self, image: list[int], level: int) -> list[int]:
        """Of an image of so many steps a level."""
        rows, needs = self.layers[0]
        on = [sum(w * image[i] for i, w in zip(*r)) >= level * t for r, t in zip(rows, needs)]
        for rows, needs in self.layers[1:]:
            on = [sum(w for i, w in zip(*row) if on[i]) >= t for row, t in zip(rows, needs)]
        signs = [1 if x else -1 for x in on]
        return [sum(map(mul, row, signs)) + b for row, b in zip(self.head, self.bias)]


def read_image(data: bytes, levels: int) -> list[Fraction]:
    """An .npy file in steps, not rounded; short floats at or next to k / levels are level k."""
    (kind, pixels), found = read_npy(data), []
    for x in pixels:
        value = Fraction(x) * (levels if kind[0] == "f" else 1)
        if kind in ("f2", "f4") and levels * 8 <= {"f2": 2**11, "f4": 2**24}[kind]:
            bits = [struct.pack("<" + CODES[kind], v) for v in (round(value) / levels, abs(x))]
            level, given = (int.from_bytes(b, "little") for b in bits)
            value = Fraction(round(value)) if abs(level - given) <= 1 else value
        need(0 <= value <= levels, "a pixel outside the levels")
        found.append(value * GRID)
    return found


class Box:
    """The images of a claim: from ``low`` to ``high``, changes add up to ``budget`` at most."""

    def __init__(self, network: Network, exact: list[Fraction], about: Any) -> None:
        self.level = {"continuous": GRID, "pixels": 1}[about["domain"]]
        self.image, step, levels = [round(x) for x in exact], GRID // self.level, network.levels
        exact = exact if step == 1 else [Fraction(x) for x in self.image]
        need(all(x % step == 0 for x in self.image), "an image that is not of whole levels")
        need(about["direction"] in ("both", "lighten", "darken"), "the direction")
        radius, self.budget = (self.steps(about[name], levels) for name in ("epsilon", "l1"))
        self.low, self.high, half = list(self.image), list(self.image), Fraction(1, 2)
        for i in set(range(len(exact) if radius else 0)).difference(about["fixed"]):
            if about["direction"] != "lighten":
                self.low[i] = math.ceil(max(exact[i] - radius, 0) - half)
            if about["direction"] != "darken":
                self.high[i] = math.floor(min(exact[i] + radius, levels * GRID) + half)
        for part in (self.low, self.high, self.image):
            part[:] = [x // step for x in part]
        self.budget = None if self.budget is None else self.budget // step

    def steps(self, text: str | None, levels: int) -> Any:
        """A budget: the nearest number where that is meant, else the next one up; whole levels."""
        if text is None:
            return None
        steps, near = Fraction(text) * levels * GRID, Fraction(GRID, 10**9)
        need(steps >= 0, "a budget below 0")
        if self.level == 1:
            return math.floor((steps + near) / GRID) * GRID
        return round(steps) if abs(steps - round(steps)) <= near else math.ceil(steps)


class Flips:
    """The neurons that may flip, ascending; ``row[j]`` has weights whose sum a flip needs large.

    Above the centre, doubled, it is at least ``demand[j]``; where j stays, less it is ``keep[j]``.
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
                # To be on takes the threshold, to be off a step less than that.
                self.demand[j], self.keep[j] = (needed - centre, centre - needed + 2)[::sign]

    def cut(self, words: list[str]) -> tuple[frozenset[int], frozenset[int]]:
        """Flips, and neurons that stay, which no image has together; words are j*times or -j*times."""
        pairs = [(word[0] == "-", *word.strip("-").split("*"), "1")[:3] for word in words]
        times = {int(j): int(y) * (-1 if stays else 1) for stays, j, y in pairs}
        need(len(times) == len(words) and all(j in self.row for j in times), "no neurons that flip")
        total, needed, box = [0] * len(self.width), 0, self.box
        for j, y in times.items():
            total = list(map(add, total, self.row[j] if y == 1 else [y * w for w in self.row[j]]))
            needed += y * self.demand[j] if y > 0 else -y * self.keep[j]
        gains, most, left = list(map(abs, total)), 0, box.budget
        if left is None:
            most = sum(map(mul, gains, self.width))
        else:  # the changes that move the sum most come first
            most = sum(w * (2 * x - m) for w, x, m in zip(total, box.image, self.middle))
            rooms = zip(total, box.low, box.image, box.high)
            rooms = [c - b if w > 0 else b - a for w, a, b, c in rooms]
            for gain, room in sorted(zip(gains, rooms), reverse=True):
                most, left = most + 2 * gain * min(room, left), left - min(room, left)
        need(most < needed, "multipliers that refute nothing")
        made = frozenset(j for j, y in times.items() if y > 0)
        return made, frozenset(times) - made


def packed(numbers: Any, field: int) -> int:
    """The sum of numbers, each so many bits further up than the one before."""
    return sum(number << field * i for i, number in enumerate(numbers))


class Margin:
    """The margin of a target over the source by flips, over the neurons that they may turn.

    ``change[j]`` is what the flip of j adds to the second layer's surplus; ``deeper`` has rows of
    further layers, and their surplus where nothing that may turn is on. A packed surplus has fields
    of one number, whose highest bits are 1 where neurons are on.
    """

    def __init__(self, network: Network, flips: Flips, source: int, target: int) -> None:
        layers, on, kept, turns = (
            [],
            flips.on,
            list(flips.row),
            [1 - 2 * flips.on[j] for j in flips.row],
        )
        self.steps: list[Any] = []
        for rows, needs in network.layers[1:]:
            weights = [dict(zip(*row)) for row in rows]
            start = [sum(w for i, w in r.items() if on[i]) - t for r, t in zip(weights, needs)]
            moves = [[r.get(i, 0) * turn for i, turn in zip(kept, turns)] for r in weights]
            least = [y + sum(min(w, 0) for w in row) for y, row in zip(start, moves)]
            most = [y + sum(max(w, 0) for w in row) for y, row in zip(start, moves)]
            live = [j for j, y in enumerate(least) if y < 0 <= most[j]]
            layers.append(([moves[j] for j in live], [start[j] for j in live]))
            on, turns, kept = [int(y >= 0) for y in least], [1] * len(live), live
            field = max([1, *(max(-least[j], most[j]) for j in live)]).bit_length() + 1
            signs = [1 << field * j + field - 1 for j in range(len(live))]
            columns = [packed(column, field) for column in zip(*layers[-1][0])]
            self.steps.append((field, signs, packed(layers[-1][1], field) + sum(signs), columns))
        (rows, self.surplus), *self.deeper = layers
        self.change = {j: [row[at] for row in rows] for at, j in enumerate(flips.row)}
        self.moved = {j: packed(move, self.steps[0][0]) for j, move in self.change.items()}
        gain = [t - s for t, s in zip(network.head[target], network.head[source])]
        self.gain = [2 * gain[j] for j in kept]
        self.constant = network.bias[target] - network.bias[source] - sum(gain)
        self.constant += 2 * sum(g for g, x in zip(gain, on) if x)
        self.worth = {g: sum(b for b, h in zip(signs, self.gain) if h == g) for g in self.gain}

    def of(self, fields: int) -> int:
        """The margin at a packed surplus of the second layer."""
        for (_, signs, _, _), (_, _, start, columns) in pairwise(self.steps):
            fields = start + sum([c for bit, c in zip(signs, columns) if bit & fields])
        return self.constant + sum([g * (fields & b).bit_count() for g, b in self.worth.items()])


class Node:
    """All sets of flips with those in `members`, some of `open`, and no others.

    No image has two flips that are `apart`, nor all of the first part of a cut and none of the other.
    With S beside the members, the margin times 2^bits is at most ``value + sum of single over S +
    sum of pair over the pairs of S``; `goal` is `wanted` so.
    """

    def __init__(self, margin: Margin, wanted: int, cuts: list[Any]) -> None:
        self.margin, self.surplus, self.cuts = margin, margin.surplus, cuts
        self.members, self.open = frozenset[int](), list(margin.change)
        self.apart: dict[int, set[int]] = {j: set() for j in self.open}
        self.value = self.goal = self.wanted = wanted
        self.single = dict.fromkeys(self.open, 0)
        self.pair = dict.fromkeys(self.open, self.single)
        self.apply_cuts()

    def apply_cuts(self) -> None:
        """Close flips, and part pairs, that have no image here; keep the cuts that matter."""
        cuts, self.cuts = self.cuts, []
        for flipped, kept in cuts:
            left, inside = flipped - self.members, self.members.union(self.open)
            if flipped <= inside and not kept & self.members:
                if len(left) in (1, 2) and not kept & inside:
                    self.open = [j for j in self.open if {j} != left]
                    for j in left:
                        self.apart[j] |= left - {j}
                else:
                    self.cuts.append((flipped, kept))

    def branch(self, new: int) -> Node:
        """Its sets with a flip; without them it remains."""
        need(new in self.open, f"flip {new} is not open here")
        self.open.remove(new)
        beside = copy.copy(self)
        beside.apart = {j: set(self.apart[j]) for j in self.open}
        beside.open = [j for j in self.open if j not in self.apart[new]]
        beside.members = self.members | {new}
        beside.surplus = list(map(add, self.surplus, self.margin.change[new]))
        beside.value = self.value + self.single[new]
        beside.single = {j: self.single[j] + self.pair[new][j] for j in beside.open}
        beside.apply_cuts()
        return beside

    def ranges(self) -> list[tuple[list[int], list[int]]]:
        """The least and the largest surplus of each layer; of a class at most one flips."""
        classes: list[list[int]] = []
        for j in self.open:
            home = next((c for c in classes if self.apart[j].issuperset(c)), None)
            classes.append([j]) if home is None else home.append(j)
        low = high = self.surplus
        for members in classes:
            moves = list(zip(*(self.margin.change[j] for j in members)))
            low = [y + min(0, *move) for y, move in zip(low, moves)]
            high = [y + max(0, *move) for y, move in zip(high, moves)]
        found = [(low, high)]
        for rows, start in self.margin.deeper:
            ends = [(a >= 0, b >= 0) for a, b in zip(*found[-1])]
            low = [y + sum(w * e[w < 0] for w, e in zip(row, ends)) for y, row in zip(start, rows)]
            high = [y + sum(w * e[w > 0] for w, e in zip(row, ends)) for y, row in zip(start, rows)]
            found.append((low, high))
        return found

    def take_function(self, bits: int, numbers: list[int]) -> None:
        """Replace what each neuron gains where on by a function of its surplus y that is no less.

        That is ``slope y + curve y^2`` and the least constant with which it holds at all whole y of
        the range. First come slopes of the last layer, then of those before, then the curves.
        """
        margin, ranges = self.margin, self.ranges()
        exact = [self.wanted, -margin.constant, *(-g for g in margin.gain)]
        goal, *rest = (x << bits if bits >= 0 else x >> -bits for x in exact)
        value, *gain = (-x for x in rest)  # rounded up, as the goal is down
        for (rows, start), (low, high) in zip(margin.deeper[::-1], ranges[:0:-1]):
            slopes, numbers = numbers[: len(rows)], numbers[len(rows) :]
            for g, s, y, a, b in zip(gain, slopes, start, low, high, strict=True):
                value += s * y + max((x >= 0) * g - s * x for x in {a, -1, 0, b} if a <= x <= b)
            gain = [sum(map(mul, slopes, column)) for column in zip(*rows)]
        slopes, curves = numbers[: len(gain)], numbers[len(gain) :]
        terms = list(zip(gain, slopes, curves, self.surplus, *ranges[0], strict=True))
        for g, s, c, y, low, high in terms:
            value += max((x >= 0) * g - (s + c * x) * x for x in range(low, high + 1))
            value += (s + c * y) * y
        self.goal, self.value, self.single, self.pair = goal, value, {}, {}
        for j in self.open:
            move = margin.change[j]
            tilt = [s + c * (2 * y + v) for (_, s, c, y, _, _), v in zip(terms, move)]
            bent = [2 * c * v for c, v in zip(curves, move)]
            self.single[j] = sum(map(mul, move, tilt))
            self.pair[j] = {i: sum(map(mul, bent, margin.change[i])) for i in self.open}

    def search(self) -> None:
        """See all sets that the function lets be wanted; those that are must be cut.

        Flips are tried from the last in an order; each adds, and gains at most from all before it.
        """
        apart, pair, moved, worth = self.apart, self.pair, self.margin.moved, self.margin.of
        free = {j: [i for i in self.open if i != j and i not in apart[j]] for j in self.open}
        use = {j: 2 * self.single[j] + sum(max(pair[j][i], 0) for i in free[j]) for j in free}
        order = sorted(self.open, key=use.__getitem__)
        before = {j: set(order[:at]).intersection(free[j]) for at, j in enumerate(order)}
        gains = {j: sum(max(pair[j][i], 0) for i in before[j]) for j in order}
        goal, wanted = self.goal, self.wanted

        def visit(made: frozenset[int], value: int, adds: list[Any], surplus: int) -> None:
            if value >= goal and worth(surplus) >= wanted:
                is_cut = any(flipped <= made and not kept & made for flipped, kept in self.cuts)
                need(is_cut, f"a set of flips that is wanted and not cut: {sorted(made)}")
            reach = sum([most for _, most in adds if most > 0])
            while adds and value + reach >= goal:
                j, most = adds.pop()
                reach -= most if most > 0 else 0
                if value + most + reach >= goal:
                    free, own = before[j], pair[j]
                    left = [(i, x + own[i]) for i, x in adds if i in free]
                    visit(made | {j}, value + most - gains[j], left, surplus + moved[j])

        field, signs, _, _ = self.margin.steps[0]
        adds = [(j, self.single[j] + gains[j]) for j in order]
        visit(self.members, self.value, adds, packed(self.surplus, field) + sum(signs))


class Lines:
    """The lines of a proof after its first."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.number = stream, 1

    def words(self) -> list[str]:
        """Of the next line."""
        self.number += 1
        line = self.stream.readline(LARGEST)
        need(line.endswith("\n"), "the proof ends too early")
        return list(line.split())

    def close(self, node: Node, flips: Flips) -> None:
        """Check what is said about the sets of a node."""
        while (words := self.words()) != ["search"]:
            if words[0] == "cut":
                node.cuts.append(flips.cut(words[1:]))
                node.apply_cuts()
            elif words[0] == "function":
                need(abs(int(words[1])) < 99, "a function's bits")
                node.take_function(int(words[1]), list(map(int, words[2:])))
            else:
                need(words[0] == "branch", f"a line that begins with {words[0]!r}")
                self.close(node.branch(int(words[1])), flips)
        node.search()


def wanted(about: Any, unit: Fraction, target: int) -> int:
    """The least margin that the claim denies a target, or that the image of a flip has."""
    if about["claim"] == "margin":
        return math.floor(Fraction(about["bound"]) / unit) + 1
    need(about["ties"] in ("lowest", "never", "always"), "the rule on ties")
    wins = about["ties"] == "always" or (about["ties"] == "lowest" and target < about["source"])
    return 0 if wins else 1


def claim_of(network: Network, box: Box, about: Any) -> str:
    """What a proof says, where its image, if it has one, is as good as that."""
    source, targets, claim = about["source"], about["targets"], about["claim"]
    known = all(type(c) is int and 0 <= c < len(network.head) for c in (source, *targets))
    need(known and targets and source not in targets, "the classes")
    said = f"{about['domain']} image within {about['epsilon']} of this one"
    said += f" ({about['direction']}, {len(set(about['fixed']))} pixels fixed, L1 {about['l1']})"
    flip = f"flips from class {source} to one of {targets}, ties {about['ties']}"
    if claim == "robust":
        return f"no {said} {flip}"
    image = list(box.image)
    for i, x in about["witness"]:
        image[i] = x
    moved = sum(abs(x - y) for x, y in zip(image, box.image))
    is_inside = all(a <= x <= b for a, x, b in zip(box.low, image, box.high))
    need(is_inside and (box.budget is None or moved <= box.budget), "an image beyond the budget")
    logits = network.logits(image, box.level)
    margins = {c: logits[c] - logits[source] for c in targets}
    if claim == "flip":
        need(any(m >= wanted(about, network.unit, c) for c, m in margins.items()), "no flip")
        return f"an {said} {flip}"
    need(claim == "margin", "an unknown claim")
    best = max(margins.values()) * network.unit
    said = f"no {said} gives one of {targets} a margin above {Fraction(about['bound'])}"
    return f"{said} over class {source}; one gives {best}"


def prove(network: Network, exact: list[Fraction], lines: Lines, about: Any) -> str:
    """Check all lines, and return what they prove."""
    need(about["format"] == VERSION, "another version of proofs")
    need(about["network"] == network.digest, "the proof is about another network")
    box = Box(network, exact, about)
    digest = hashlib.sha256(repr(box.image).encode()).hexdigest()
    need(about["image"] == digest and len(exact) == network.inputs, "it is about another image")
    said, flips, cuts, words = claim_of(network, box, about), Flips(network, box), [], lines.words()
    while words[0] == "cut":
        cuts.append(flips.cut(words[1:]))
        words = lines.words()
    for target in about["targets"] if about["claim"] != "flip" else ():
        need(words == ["target", str(target)], f"target {target} should follow")
        margin = Margin(network, flips, about["source"], target)
        least = wanted(about, network.unit, target)
        least += (margin.constant - least) % (math.gcd(*margin.gain) or 1)
        lines.close(Node(margin, least, list(cuts)), flips)
        words = lines.words()
    need(words == ["end"] and not lines.stream.read(1), "the end should follow")
    return said


def check(network: Any, image: bytes, proof: Any) -> str:
    """What a proof proves, or `Rejected`: by files of a network and the proof, and .npy bytes."""
    sys.setrecursionlimit(10_000)
    lines = Lines(None)
    try:
        known = Network(network)
        exact = read_image(image, known.levels)
        with gzip.open(proof, "rt", encoding="ascii") as lines.stream:
            return prove(known, exact, lines, json.loads(lines.stream.readline(LARGEST)))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with files of strangers
        raise Rejected(f"line {lines.number}: {type(error).__name__}: {error}") from None


if __name__ == "__main__":
    try:
        with open(sys.argv[2], "rb") as image_file:
            print("proved:", check(sys.argv[1], image_file.read(), sys.argv[3]))
    except (Rejected, IndexError, OSError) as fault:
        sys.exit(f"rejected: {fault}")
