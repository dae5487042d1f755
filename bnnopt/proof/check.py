"""Check a proof of bnnopt: ``python check.py network.npz image.npy proof``; see docs/proofs.md.

Images are in *steps*: 2^20 a level, or 1 where only whole levels are admitted. First neurons *flip*
where their sign is not that at the centre of the box (at the image, where there is a budget); those
behind are on where their *surplus*, weights times activations of 0 and 1 less needs, is at least 0.
"""

from __future__ import annotations

import ast
import copy
import gzip
import json
import math
import re
import struct
import sys
import zipfile
from fractions import Fraction
from hashlib import sha256
from itertools import compress, pairwise
from operator import add, mul, sub
from typing import Any

VERSION, GRID, LARGEST = "bnnopt proof 1", 2**20, 2**29
CODES = {"u1": "B", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "f4": "f", "f8": "d"}


class Rejected(Exception):  # noqa: N818
    """What is wrong with one of the files."""


def need(holds: Any, complaint: str) -> None:
    """Reject unless something holds."""
    if not holds:
        raise Rejected(complaint)


def read_npy(data: bytes) -> tuple[str, list[Any]]:
    """The type, such as "f8", and the numbers of an .npy file."""
    need(data[:8] == b"\x93NUMPY\x01\x00" and len(data) < LARGEST, "no .npy file of version 1.0")
    start = 10 + int.from_bytes(data[8:10], "little")
    about = ast.literal_eval(data[10:start].decode("latin1"))
    order, kind, sides = about["descr"][0], about["descr"][1:], about["shape"]
    need(order in "|<" and kind in CODES and not about["fortran_order"], "an array's type")
    count = math.prod(side if type(side) is int and side >= 0 else LARGEST for side in sides)
    need(len(data) - start == count * int(kind[1]), "an array's size")
    return kind, list(struct.unpack(f"<{count}{CODES[kind]}", data[start:]))


class Network:
    """Layers of rows, each a weight by column, and a head: ``head[c] . signs + bias[c]``."""

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
            parts = [arrays.get(f"{n}_{number}") for n in ("weight", "data", "indices", "indptr")]
            rows, needs = self.rows(layer, *parts), arrays[f"threshold_{number}"]
            need(layer["shape"] + [int] * len(rows) == [len(rows), width, *map(type, needs)], "row")
            if number > 1:  # with activations of 0 and 1
                needs = [-((-sum(row.values()) - t) // 2) for row, t in zip(rows, needs)]
            self.layers.append((rows, needs))
            width = len(rows)
        if len(self.layers) == 1:  # one more that copies it
            self.layers.append(([{j: 1} for j in range(width)], [1] * width))
        weights, scales, biases = (arrays[f"output_{n}"] for n in ("weight", "scale", "bias"))
        head: Any = [weights[a : a + width] for a in range(0, len(scales) * width, width)]
        if about["output"]["kind"] == "dense":
            head = [list(row.values()) for row in self.rows(about["output"], weights)]
        need(len(biases) == len(head) == len(scales) > 1 and {*map(len, head)} == {width}, "head")
        head = [[*(float(s) * w for w in row), float(b)] for row, s, b in zip(head, scales, biases)]
        exact = {x: Fraction(x) for x in set().union(*head)}
        whole, unit = max(x.denominator for x in exact.values()), -LARGEST
        units, places = {x: int(exact[x] * whole) for x in exact}, whole.bit_length()
        numbers = [list(map(units.__getitem__, row)) for row in head]
        for _ in range(3):  # to OutputLayer.on_grid; rounding may reach the next power of two, once
            unit = max(unit, max(sum(map(abs, row)) for row in numbers).bit_length() - places - 49)
            if (cell := 1 << max(unit + places - 1, 0)) > 1:
                numbers = [[round(Fraction(n, cell)) * cell for n in row] for row in numbers]
        self.unit, shift = Fraction(2) ** unit, unit + places - 1
        numbers = [[n >> shift if shift > 0 else n << -shift for n in row] for row in numbers]
        self.head, self.bias = [row[:-1] for row in numbers], [row[-1] for row in numbers]
        said = repr((self.levels, self.layers, self.head, self.bias, self.unit))
        self.digest = sha256(said.encode()).hexdigest()

    def rows(self, about: Any, bits: Any, *sparse: Any) -> list[dict[int, Any]]:
        """Of a matrix of bits, 1 for 1 and 0 for -1, or of weights, columns and ends of rows."""
        (height, width), kind = about["shape"], about["kind"]
        if kind == "dense":
            need(len(bits) == -(-height * width // 8), "packed weights that do not fit")
            signs = [1 if bit == "1" else -1 for byte in bytes(bits) for bit in f"{byte:08b}"]
            return [dict(enumerate(signs[a : a + width])) for a in range(0, height * width, width)]
        need(kind == "sparse", f"layers of kind {kind!r} are not read here")
        data, columns, ends = sparse
        rows = [dict(zip(columns[a:b], data[a:b])) for a, b in pairwise(ends)]
        need(ends == sorted(ends) and sum(map(len, rows)) == len(columns) == len(data), "ends")
        need({*map(type, data + columns)} <= {int} and all(0 <= i < width for i in columns), "rows")
        return rows


class Box:
    """The images of a claim, from ``low`` to ``high``, and the neurons that may flip there."""

    def __init__(self, network: Network, image: bytes, about: Any) -> None:
        (kind, pixels), top = read_npy(image), network.levels * GRID
        exact = [Fraction(x) * (top if kind[0] == "f" else GRID) for x in pixels]
        if kind == "f4":  # a level's nearest number, and those beside it, are the level
            bits: Any = lambda x: struct.unpack("<i", struct.pack("<f", x))[0]
            off = [abs(bits(x) - bits(round(x * network.levels) / network.levels)) for x in pixels]
            exact = [Fraction(round(x / GRID) * GRID) if d < 2 else x for x, d in zip(exact, off)]
        need(all(0 <= x <= top for x in exact), "a pixel outside the levels")
        need(about["direction"] in ("both", "lighten", "darken"), "the direction")
        self.level = {"continuous": GRID, "pixels": 1}[about["domain"]]
        self.image, step = [round(x) for x in exact], GRID // self.level
        exact = exact if step == 1 else [Fraction(x) for x in self.image]
        need(all(x % step == 0 for x in self.image), "an image that is not of whole levels")
        # The nearest number of steps where that is meant, else the next one up; whole levels: down.
        near, half = Fraction(GRID, 10**9), Fraction(1, 2)
        up: Any = lambda x: math.ceil(x - near) if step == 1 else (x + near) // step * step
        radius, total = (up(Fraction(about[name] or 0) * top) for name in ("epsilon", "l1"))
        self.low, self.high = list(self.image), list(self.image)
        free = set(range(len(exact) if about["epsilon"] != "0" else 0)).difference(about["fixed"])
        for i in free:
            if about["direction"] != "lighten":
                self.low[i] = math.ceil(max(exact[i] - radius, 0) - half)
            if about["direction"] != "darken":
                self.high[i] = math.floor(min(exact[i] + radius, top) + half)
        for part in (self.low, self.high, self.image):
            part[:] = [x // step for x in part]
        self.budget = None if about["l1"] is None else total // step
        need(len(exact) == network.inputs and total >= 0 <= radius, "the image's size, a budget")
        self.middle, self.width = (list(map(f, self.high, self.low)) for f in (add, sub))
        origin = self.middle if self.budget is None else [2 * x for x in self.image]
        self.on, self.row, self.demand, self.keep = [], {}, {}, {}
        for j, (row, threshold) in enumerate(zip(*network.layers[0])):
            needed = 2 * self.level * threshold
            centre = sum(w * self.middle[i] for i, w in row.items())
            reach = sum(abs(w) * self.width[i] for i, w in row.items())
            self.on.append(int(sum(w * origin[i] for i, w in row.items()) >= needed))
            if centre - reach < needed <= centre + reach:
                sign = 1 - 2 * self.on[j]
                self.row[j] = [sign * row.get(i, 0) for i in range(len(exact))]
                # To be on takes the threshold, to be off a step less than that.
                self.demand[j], self.keep[j] = (needed - centre, centre - needed + 2)[::sign]

    def cut(self, words: list[str]) -> tuple[set[int], set[int]]:
        """Flips, and neurons that stay, which no image has together: as words j*times, -j*times."""
        pairs: Any = [(word[0] == "-", *word.strip("-").split("*"), "1")[:3] for word in words]
        times = {int(j): int(y) * (-1 if stays else 1) for stays, j, y in pairs}
        need(len(times) == len(words) and all(j in self.row for j in times), "no neurons that flip")
        total, needed = [0] * len(self.width), 0
        for j, y in times.items():
            total = list(map(add, total, self.row[j] if y == 1 else [y * w for w in self.row[j]]))
            needed += y * self.demand[j] if y > 0 else -y * self.keep[j]
        gains, left = list(map(abs, total)), self.budget
        most = sum(map(mul, gains, self.width))
        if left is not None:  # the changes that move the sum most come first
            most = sum(w * (2 * x - m) for w, x, m in zip(total, self.image, self.middle))
            ends = zip(total, self.low, self.image, self.high)
            rooms = [c - b if w > 0 else b - a for w, a, b, c in ends]
            for gain, room in sorted(zip(gains, rooms), reverse=True):
                most, left = most + 2 * gain * min(room, left), left - min(room, left)
        need(most < needed, "multipliers that refute nothing")
        return {j for j in times if times[j] > 0}, {j for j in times if times[j] < 0}


class Margin:
    """The margin of a target over the source by flips, over the neurons that they may turn."""

    def __init__(self, network: Network, box: Box) -> None:
        self.on, self.kept, self.layers = box.on, list(box.row), list[Any]()
        turns = [1 - 2 * self.on[j] for j in self.kept]
        pack: Any = lambda numbers, size: sum(x << 8 * size * i for i, x in enumerate(numbers))
        for layer in network.layers[1:]:
            start = [sum([w for i, w in r.items() if self.on[i]]) - t for r, t in zip(*layer)]
            moves = [[r.get(i, 0) * turn for i, turn in zip(self.kept, turns)] for r in layer[0]]
            least = [y + sum([w for w in row if w < 0]) for y, row in zip(start, moves)]
            most = [y + sum([w for w in row if w > 0]) for y, row in zip(start, moves)]
            live = [j for j, y in enumerate(least) if y < 0 <= most[j]]
            rows, start = [moves[j] for j in live], [start[j] for j in live]
            self.on, self.kept, turns = [int(y >= 0) for y in least], live, [1] * len(live)
            size = max([1, *(max(-least[j], most[j]) for j in live)]).bit_length() // 8 + 1
            signs = [1 << 8 * size * j - 1 for j in range(1, len(live) + 1)]
            packed, columns = pack(start, size) + sum(signs), [pack(c, size) for c in zip(*rows)]
            self.layers.append((rows, start, signs, sum(signs), size, packed, columns))
        rows, self.surplus, *_, self.packed, columns = self.layers[0]
        self.change = {j: [row[at] for row in rows] for at, j in enumerate(box.row)}
        self.moved = dict(zip(box.row, columns or [0] * len(box.row)))

    def aim(self, network: Network, source: int, target: int) -> None:
        """Make it that of a target: what all targets have in common is known."""
        gain = [t - s for t, s in zip(network.head[target], network.head[source])]
        self.gain, signs = [2 * gain[j] for j in self.kept], self.layers[-1][2]
        self.constant = network.bias[target] - network.bias[source] - sum(gain)
        self.constant += 2 * sum(map(mul, gain, self.on))
        at: Any = lambda gain: sum([bit for bit, g in zip(signs, self.gain) if g == gain])
        self.worth = [(g, at(g)) for g in {*self.gain} if g]

    def of(self, fields: int) -> Any:
        """The margin at a second layer's surplus, in fields whose highest bits say: at least 0."""
        for (_, _, signs, mask, size, *_), (*_, packed, columns) in pairwise(self.layers):
            on = (fields & mask).to_bytes(size * len(signs), "little")[size - 1 :: size]
            fields = packed + sum(compress(columns, on))
        return self.constant + sum([g * (fields & b).bit_count() for g, b in self.worth])


class Node:
    """All sets of flips with those in `members`, some of `open`, and no others."""

    def __init__(self, margin: Margin, wanted: int, cuts: list[Any]) -> None:
        self.margin, self.surplus, self.cuts = margin, margin.surplus, list[Any]()
        self.members, self.open = frozenset[int](), list(margin.change)
        self.apart: dict[int, set[int]] = {j: set() for j in self.open}
        self.value = self.goal = self.wanted = wanted
        self.single = dict.fromkeys(self.open, 0)
        self.pair, self.packed = dict.fromkeys(self.open, self.single), margin.packed
        self.apply(*cuts)

    def apply(self, *more: Any) -> None:
        """Close flips, and part pairs, that have no image here; keep the cuts that matter."""
        cuts, self.cuts = [*self.cuts, *more], []
        for flipped, kept in cuts:
            left, inside = flipped - self.members, self.members.union(self.open)
            if flipped <= inside and not kept & self.members:
                if len(left) in (1, 2) and not kept & inside:
                    self.open = [j for j in self.open if {j} != left]
                    self.apart |= {j: self.apart[j] | left - {j} for j in left}
                else:
                    self.cuts.append((flipped, kept))

    def branch(self, new: int) -> Node:
        """Its sets with a flip; without them it remains."""
        need(new in self.open, f"flip {new} is not open here")
        self.open.remove(new)
        beside = copy.copy(self)
        beside.apart = {j: set(self.apart[j]) for j in self.open}
        beside.open = [j for j in self.open if j not in self.apart[new]]
        beside.members, beside.value = self.members | {new}, self.value + self.single[new]
        beside.single = {j: self.single[j] + self.pair[new][j] for j in beside.open}
        beside.surplus = list(map(add, self.surplus, self.margin.change[new]))
        beside.packed = self.packed + self.margin.moved[new]
        beside.apply()
        return beside

    def take_function(self, bits: int, numbers: list[int]) -> None:
        """Replace what each neuron gains where on by a function of its surplus that is no less."""
        margin, change, classes = self.margin, self.margin.change, list[list[int]]()
        for j in self.open:  # of a class at most one flips
            home = next((c for c in classes if self.apart[j].issuperset(c)), None)
            classes.append([j]) if home is None else home.append(j)
        low, high, zeros = self.surplus, self.surplus, [0] * len(self.surplus)
        for members in classes:
            low = list(map(add, low, map(min, zeros, *(change[j] for j in members))))
            high = list(map(add, high, map(max, zeros, *(change[j] for j in members))))
        ranges = [(low, high)]
        for rows, start, *_ in margin.layers[1:]:
            ends = [(a >= 0, b >= 0) for a, b in zip(*ranges[-1])]
            low = [y + sum(w * e[w < 0] for w, e in zip(row, ends)) for y, row in zip(start, rows)]
            high = [y + sum(w * e[w > 0] for w, e in zip(row, ends)) for y, row in zip(start, rows)]
            ranges.append((low, high))
        exact = [self.wanted, -margin.constant, *(-g for g in margin.gain)]
        self.goal, *rest = (x << bits if bits >= 0 else x >> -bits for x in exact)
        self.value, *gain = (-x for x in rest)  # rounded up, as the goal is down
        for at, (rows, start, *_) in [*enumerate(margin.layers)][:0:-1]:
            slopes, numbers = numbers[: len(rows)], numbers[len(rows) :]
            for g, s, y, a, b in zip(gain, slopes, start, *ranges[at], strict=True):
                self.value += max((x >= 0) * g + s * (y - x) for x in (a, -1, 0, b) if a <= x <= b)
            columns = zip(*rows) if rows else [()] * len(ranges[at - 1][0])
            gain = [sum(map(mul, slopes, column)) for column in columns]
        slopes, curves = numbers[: len(gain)], numbers[len(gain) :]
        terms = list(zip(gain, slopes, curves, self.surplus, *ranges[0], strict=True))
        for g, s, c, y, a, b in terms:
            self.value += max((x >= 0) * g - (s + c * x) * x for x in range(a, b + 1))
            self.value += (s + c * y) * y
        moves = {j: list(compress(change[j], curves)) for j in self.open}
        bent = {j: [2 * c * v for c, v in zip(filter(None, curves), moves[j])] for j in moves}
        self.pair = {j: {i: sum(map(mul, bent[j], moves[i])) for i in moves} for j in moves}
        tilt = [s + 2 * c * y for _, s, c, y, *_ in terms]
        self.single = {j: sum(map(mul, tilt, change[j])) + self.pair[j][j] // 2 for j in moves}

    def close(self, box: Box, lines: list[str]) -> None:
        """Check what is said about its sets; the next line is the last of the list."""
        while (words := lines.pop().split()) != ["search"]:
            if words[0] == "cut":
                self.apply(box.cut(words[1:]))
            elif words[0] == "function":
                need(abs(int(words[1])) < 99, "a function's bits")
                self.take_function(int(words[1]), list(map(int, words[2:])))
            else:
                need(words[0] == "branch", f"a line that begins with {words[0]!r}")
                self.branch(*map(int, words[1:])).close(box, lines)
        self.search()

    def search(self) -> None:
        """See all sets that the function lets be wanted; those that are must be cut."""
        worth, goal, never = self.margin.of, self.goal, -(2**256)
        free = {j: set(self.open).difference({j}, self.apart[j]) for j in self.open}
        use = {j: 2 * self.single[j] + sum(max(self.pair[j][i], 0) for i in free[j]) for j in free}
        order = sorted(free, key=use.__getitem__)
        moved = [self.margin.moved[j] for j in order]
        # What each adds to those before it, and they at most to it; none are with those apart.
        rows = [[self.pair[j][i] if i in free[j] else never for i in order] for j in order]
        gains = [sum(max(x, 0) for x in row[:at]) for at, row in enumerate(rows)]

        def visit(made: frozenset[int], value: int, adds: list[int], fields: int) -> None:
            if value >= goal and worth(fields) >= self.wanted:
                is_cut = any(flipped <= made and not kept & made for flipped, kept in self.cuts)
                need(is_cut, f"a set of flips that is wanted and not cut: {sorted(made)}")
            reach = sum([most for most in adds if most > 0])
            while adds and value + reach >= goal:
                most, at = adds.pop(), len(adds)
                reach -= most if most > 0 else 0
                if value + most + reach >= goal:
                    left = list(map(add, adds, rows[at]))
                    visit(made | {order[at]}, value + most - gains[at], left, fields + moved[at])

        alone = [self.single[j] + gain for j, gain in zip(order, gains)]
        visit(self.members, self.value, alone, self.packed)


def claim_of(network: Network, box: Box, about: Any) -> tuple[str, dict[int, int]]:
    """What a proof says, and the least margin of each target that nothing in the box may have."""
    source, targets, claim = about["source"], about["targets"], about["claim"]
    witness = [] if claim == "robust" else about["witness"]
    need({*map(type, (targets, witness, about["fixed"]))} == {list} and targets, "no list")
    ends = (about["fixed"], network.inputs), ([i for i, _ in witness], network.inputs)
    for some, end in (*ends, ([source, *targets], len(network.head))):
        need({*map(type, some)} <= {int} and len({*some} & {*range(end)}) == len(some), "places")
    written = (about["epsilon"], about["l1"], about["bound"] if claim == "margin" else None)
    need(written[0] and all(x is None or str(Fraction(x)) == x for x in written), "a fraction")
    said = f"{about['domain']} image within {about['epsilon']} of this one ({about['direction']}"
    said += f", {len(about['fixed'])} pixels fixed, L1 {about['l1'] or 'free'})"
    flip = f"flips from class {source} to one of {targets}, ties {about['ties']}"
    winning = {"lowest": range(source), "never": (), "always": targets}[about["ties"]]
    least = {c: 0 if c in winning else 1 for c in targets}
    if claim == "robust":
        return f"no {said} {flip}", least
    image = [*(dict(enumerate(box.image)) | dict(witness)).values()]
    inside = all(type(x) is int and a <= x <= b for a, x, b in zip(box.low, image, box.high))
    moved = sum(abs(x - y) for x, y in zip(image, box.image))
    need(inside and (box.budget is None or moved <= box.budget), "an image beyond the budget")
    values, factor = image, box.level
    for rows, needs in network.layers:
        sums = [sum(w * values[i] for i, w in row.items()) for row in rows]
        values, factor = [int(s >= factor * t) for s, t in zip(sums, needs)], 1
    heads = zip(network.head, network.bias)
    logits = [sum(w * (2 * x - 1) for w, x in zip(row, values)) + b for row, b in heads]
    if claim == "flip":
        need(any(logits[c] - logits[source] >= least[c] for c in targets), "the image is no flip")
        return f"one {said} {flip}", {}
    best, bound = max(logits[c] for c in targets) - logits[source], Fraction(about["bound"])
    need(claim == "margin", "an unknown claim")
    said = f"no {said} gives one of {targets} a margin above {bound} over class {source}"
    least = dict.fromkeys(targets, math.floor(bound / network.unit) + 1)
    return f"{said}; one gives {best * network.unit}", least


def check(network_file: Any, image: bytes, proof: Any) -> str:
    """What a proof proves, or `Rejected`: by files of a network and the proof, and .npy bytes."""
    lines, count = [], 0
    try:
        with gzip.open(proof, "rt", encoding="ascii", newline="\n") as stream:
            lines = [x.removesuffix(" ") for x in stream.read(LARGEST).split("\n")[::-1]]
        count, about, network = len(lines), json.loads(lines.pop()), Network(network_file)
        need(about["format"] == VERSION, "another version of proofs")
        need(all(re.fullmatch(r"[a-z]+( -?\d+(\*[1-9]\d*)?)*", x) for x in lines[1:]), "a line")
        need(about["network"] == network.digest, "the proof is about another network")
        box, cuts = Box(network, image, about), []
        need(about["image"] == sha256(repr(box.image).encode()).hexdigest(), "about another image")
        said, least = claim_of(network, box, about)
        while lines[-1].startswith("cut "):
            cuts.append(box.cut(lines.pop().split()[1:]))
        margin = Margin(network, box)
        for target, wanted in least.items():
            need(lines.pop() == f"target {target}", f"target {target} should be here")
            margin.aim(network, about["source"], target)
            wanted += (margin.constant - wanted) % (math.gcd(*margin.gain) or 1)  # noqa: PLW2901
            Node(margin, wanted, cuts).close(box, lines)
        need(lines == ["", "end"], "the end should be here")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with files of strangers
        raise Rejected(f"line {count - len(lines)}: {type(error).__name__}: {error}") from None
    return said


if __name__ == "__main__":
    try:
        print("proved:", check(sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3]))
    except (Rejected, IndexError, OSError) as fault:
        sys.exit(f"rejected: {fault}")
