"""Verdicts against the truth by enumeration, and counterexamples against the file itself."""

from __future__ import annotations

import math
import os
import re
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.errors import BnnoptError, ImportDisagreesError, InputError
from bnnopt.exchange.counterexamples import Answer, Verdict, decide, deciding
from bnnopt.exchange.counterexamples.literals import (
    Literal,
    all_of_each,
    literal_of,
    one_of_each,
)
from bnnopt.exchange.counterexamples.questions import input_range
from bnnopt.exchange.onnx import read_onnx
from bnnopt.exchange.onnx_write import onnx_model
from bnnopt.exchange.vnnlib import Case, Choice, Difference, read_vnnlib
from tests.exchange.tiny_onnx import tiny_onnx, tiny_spec
from tests.helpers import deepest_slack, random_network

RANGES = ((0, 1), (0, 255), (-1, 1), (-3, 7))
DEEP = 1e-3
"""Levels: the slack of a pattern that float32 does not miss."""


def random_choices(rng: np.random.Generator, classes: int, *, numbers: bool) -> list[Choice]:
    choices = []
    for _ in range(rng.integers(1, 4)):
        choice = []
        for _ in range(rng.choice([1, 1, 2, 3])):
            target, source = rng.permutation(classes)[:2].tolist()
            least = Fraction(int(rng.integers(-6, 9)), 2) if numbers and rng.random() < 0.5 else 0
            choice.append(Difference(target, source, Fraction(least), bool(rng.integers(2))))
        choices.append(tuple(choice))
    return choices


def random_box(rng: np.random.Generator, low: int, high: int, inputs: int) -> tuple[Any, Any]:
    sides = np.sort(rng.integers(0, 65, (2, inputs)), axis=0)
    sides[1] = np.where(rng.random(inputs) < 0.2, sides[0], sides[1])
    ends = [[low + (high - low) * Fraction(int(k), 64) for k in side] for side in sides]
    return tuple(ends[0]), tuple(ends[1])


def truth(case: Case, network: BinarizedNetwork, limits: Any) -> tuple[bool, bool]:
    """Whether a pattern with a point holds, and whether one holds that is no thin cell."""
    low, high = (
        np.array([float((x - limits[0]) / (limits[1] - limits[0])) for x in side])
        for side in (case.low, case.high)
    )
    box = AttackInstance(network, low, 1, source=0, within=(low, high))
    is_possible = is_deep = False
    for signs in product((-1.0, 1.0), repeat=network.widths[0]):
        values = np.array(signs)[None]
        for layer in network.hidden[1:]:
            values = layer(values)
        if case.holds([Fraction(y) for y in network.output(values)[0].tolist()]):
            slack = deepest_slack(box, np.array(signs))
            is_possible |= slack >= -1e-7
            is_deep |= slack > DEEP
    return is_possible, is_deep


def printed(answer: Answer) -> tuple[list[str], list[str]]:
    """The numbers of a counterexample as the competition reads them: X_0, X_1, ..., Y_0, ..."""
    verdict, text = answer.text.split("\n", 1)
    assert verdict == "sat"
    assert text.startswith("((X_0 ") and text.endswith("))")
    found: dict[str, list[str]] = {"X": [], "Y": []}
    for part in text[1:-1].replace("\n", "").split(")")[:-1]:
        name, number = part.removeprefix("(").split(" ")
        assert int(name[2:]) == len(found[name[0]])
        found[name[0]].append(number)
    return found["X"], found["Y"]


def check_witness(answer: Answer, case: Case, content: bytes) -> None:
    inputs, outputs = printed(answer)
    assert case.contains([Fraction(x) for x in inputs])
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = [side if isinstance(side, int) else 1 for side in given.shape]
    array = np.array([float(x) for x in inputs], dtype=np.float32).reshape(shape)
    found = session.run(None, {given.name: array})[0].ravel().tolist()
    assert found == [float(y) for y in outputs]
    assert case.holds([Fraction(y) for y in found])


def ask(folder: Path, content: bytes, text: str, **options: Any) -> Answer:
    (folder / "net.onnx").write_bytes(content)
    (folder / "spec.vnnlib").write_text(text)
    return decide(folder / "net.onnx", folder / "spec.vnnlib", time_limit=60, **options)


@pytest.mark.parametrize("seed", range(48))
def test_the_verdict_on_a_random_box_is_the_truth(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    low, high = RANGES[seed % 4]
    softmax = seed % 5 == 0
    widths = ((4,), (4, 3), (5,))[seed % 3]
    content = tiny_onnx(seed, low, high, widths=widths, is_real=seed % 7 in (1, 2), softmax=softmax)
    box = random_box(rng, low, high, 3)
    case = Case(*box, tuple(random_choices(rng, 3, numbers=not softmax)))
    limits = input_range([case])
    network = read_onnx(content, input_range=limits).network
    is_possible, is_deep = truth(case, network, limits)
    answer = ask(tmp_path, content, tiny_spec(case, 3))
    if answer.verdict is Verdict.SAT:
        assert is_possible
        check_witness(answer, case, content)
    else:
        assert answer.witness is None
        assert answer.text == answer.verdict.value
    if is_deep:
        assert answer.verdict is Verdict.SAT, answer.notes
    if not is_possible:
        assert answer.verdict is Verdict.UNSAT, answer.notes


def test_one_box_of_several_with_a_counterexample_is_enough(tmp_path: Path) -> None:
    content = tiny_onnx(3, 0, 1)
    network = read_onnx(content, input_range=(0, 1)).network
    corners = list(product((0, 1), repeat=3))
    classes = [network.predict(np.array(corner, dtype=np.float64)) for corner in corners]
    wanted = classes[-1]
    others = [c for c in range(3) if c != wanted]
    text = "".join(
        f"(declare-const X_{i} Real)(assert (<= 0 X_{i}))(assert (<= X_{i} 1))" for i in range(3)
    )
    text += "".join(f"(declare-const Y_{c} Real)" for c in range(3))
    here = [
        "(and "
        + " ".join(f"(<= X_{i} {x})(>= X_{i} {x})" for i, x in enumerate(corner))
        + " ".join(f"(> Y_{wanted} Y_{c})" for c in others)
        + ")"
        for corner in corners
    ]
    logits = [network.logits(np.array(corner, dtype=np.float64)) for corner in corners]
    wins = [all(y[wanted] > y[c] for c in others) for y in logits]
    for parts, holds in ((here, wins), (here[:-1], wins[:-1]), (here[:1], wins[:1])):
        answer = ask(tmp_path, content, f"{text}(assert (or {' '.join(parts)}))")
        assert answer.verdict is (Verdict.SAT if any(holds) else Verdict.UNSAT)
        if answer.verdict is Verdict.SAT:
            inputs, _ = printed(answer)
            assert any(
                won and [float(x) for x in inputs] == list(corner)
                for corner, won in zip(corners, holds, strict=False)
            )


def test_a_box_of_one_point_between_the_floats_is_decided(tmp_path: Path) -> None:
    content = tiny_onnx(5, 0, 1)
    point = (Fraction("0.1"), Fraction("0.7"), Fraction("0.3000001"))
    network = read_onnx(content, input_range=(0, 1)).network
    logits = network.logits(np.array([float(x) for x in point]))
    for target, source in product(range(3), repeat=2):
        choice = (Difference(target, source, Fraction(0), target != source),)
        case = Case(point, point, (choice,))
        holds = case.holds([Fraction(y) for y in logits.tolist()])
        answer = ask(tmp_path, content, tiny_spec(case, 3).replace("00000000000000 ", " "))
        assert answer.verdict is (Verdict.SAT if holds else Verdict.UNSAT)
        if holds:
            assert [float(x) for x in printed(answer)[0]] == pytest.approx(
                [float(x) for x in point]
            )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        ("-1e100", "1e100", Verdict.SAT),
        ("1e-100", "1e-99", Verdict.SAT),
        ("-0.0", "0", Verdict.SAT),
        ("1e100", "1e100", Verdict.UNKNOWN),  # infinite in the file's precision
    ],
)
def test_boxes_of_any_size_are_searched(
    low: str, high: str, verdict: Verdict, tmp_path: Path
) -> None:
    text = "".join(
        f"(declare-const X_{i} Real)(assert (<= {low} X_{i}))(assert (<= X_{i} {high}))"
        for i in range(3)
    )
    text += "".join(f"(declare-const Y_{c} Real)" for c in range(3))
    answer = ask(tmp_path, tiny_onnx(3), f"{text}(assert (or (>= Y_0 Y_1) (>= Y_1 Y_0)))")
    assert answer.verdict is verdict
    assert all(Fraction(low) <= Fraction(x) <= Fraction(high) for x in printed_if_sat(answer))


def printed_if_sat(answer: Answer) -> list[str]:
    return printed(answer)[0] if answer.verdict is Verdict.SAT else []


def test_equal_logits_are_equal_behind_the_softmax(tmp_path: Path) -> None:
    # Classes 0 and 1 have one and the same logit everywhere.
    content = tiny_onnx(1, 0, 255, widths=(6,), softmax=True, twins=True)
    low, high = (Fraction(0),) * 3, (Fraction(255),) * 3
    tie = Case(low, high, ((Difference(1, 0, Fraction(0), False),),))
    answer = ask(tmp_path, content, tiny_spec(tie, 3))
    assert answer.verdict is Verdict.SAT
    check_witness(answer, tie, content)
    above = Case(low, high, ((Difference(1, 0, Fraction(0), True),),))
    assert ask(tmp_path, content, tiny_spec(above, 3)).verdict is Verdict.UNSAT


def test_where_the_softmax_rounds_a_margin_away_nothing_is_claimed(tmp_path: Path) -> None:
    # Logits of 2^9 and more: all but the largest class are 0 behind the softmax.
    content = tiny_onnx(1, 0, 255, widths=(4,), softmax=True, scale=2.0**9)
    low, high = (Fraction(0),) * 3, (Fraction(255),) * 3
    network = read_onnx(content, input_range=(0, 255)).network
    verdicts = set()
    for target, source, best in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        choice = (
            Difference(target, source, Fraction(0), True),
            Difference(best, target, Fraction(0), True),
        )
        case = Case(low, high, (choice,))
        answer = ask(tmp_path, content, tiny_spec(case, 3))
        possible, _ = truth(case, network, (0, 255))
        verdicts.add(answer.verdict)
        assert answer.verdict is (Verdict.UNKNOWN if possible else Verdict.UNSAT)
        assert not possible or any("arithmetic" in note for note in answer.notes)
    assert Verdict.UNKNOWN in verdicts


def test_version_two_is_answered_in_its_own_form(tmp_path: Path) -> None:
    content = tiny_onnx(2, 0, 1)
    case = Case((Fraction(0),) * 3, (Fraction(1),) * 3, ((Difference(0, 0, Fraction(0), False),),))
    lines = ask(tmp_path, content, tiny_spec(case, 3, "2.0")).text.splitlines()
    assert lines[:2] == ["sat", "X float32 [1,3]"]
    assert lines[5] == "Y float32 [1,3]"
    numbers = lines[2:5] + lines[6:]
    assert len(numbers) == 6
    assert all(math.isfinite(float(number)) for number in numbers)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda text: text + "(declare-const X_3 Real)(assert (<= X_3 1))(assert (>= X_3 0))",
            "4 inputs",
        ),
        (lambda text: text + "(declare-const Y_3 Real)", "4 outputs"),
        (lambda text: re.sub(r"0\.0000\)\)", "0.5000))", text), "softmax"),
    ],
)
def test_a_property_that_does_not_fit_the_network_is_refused(
    change: Any, says: str, tmp_path: Path
) -> None:
    case = Case((Fraction(0),) * 3, (Fraction(1),) * 3, ((Difference(0, 1, Fraction(0), False),),))
    with pytest.raises(InputError, match=says):
        ask(tmp_path, tiny_onnx(1, softmax=True), change(tiny_spec(case, 3)))


def test_statements_that_contradict_each_other_are_unsat_for_any_network(tmp_path: Path) -> None:
    text = tiny_spec(Case((Fraction(1),), (Fraction(0),), ((),)), 2)
    assert ask(tmp_path, b"", text).verdict is Verdict.UNSAT


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    case = Case((Fraction(0),) * 3, (Fraction(1),) * 3, ((Difference(0, 1, Fraction(0), False),),))
    with pytest.raises(BnnoptError):
        ask(tmp_path, b"no network", tiny_spec(case, 3))
    with pytest.raises(BnnoptError, match=r"missing\.onnx"):
        decide(tmp_path / "missing.onnx", tmp_path / "spec.vnnlib")


def test_the_range_of_inputs_is_the_first_usual_one_that_has_all_boxes() -> None:
    def found(*sides: tuple[object, object]) -> tuple[Fraction, Fraction]:
        cases = [Case((Fraction(str(a)),), (Fraction(str(b)),), ()) for a, b in sides]
        return input_range(cases)

    assert found((0, 1)) == found((0.2, 0.3)) == (0, 1)
    assert found((0, 1.5)) == found((0, 1), (3, 255)) == (0, 255)
    assert found((-0.1, 1)) == (-1, 1)
    assert found((-2, 3), (5, 9)) == (-2, 9)
    assert found((300, 300)) == (300, 301)


class TestLiterals:
    """Heads and layers made of differences, on all activations."""

    @staticmethod
    def network(seed: int, kind: str) -> BinarizedNetwork:
        rng = np.random.default_rng(seed)
        weight = {
            "signs": rng.choice([-1.0, 1.0], (3, 5)),
            "real": rng.normal(size=(3, 5)) * [[1.0], [10.0], [0.1]],
            "tiny": rng.normal(size=(3, 5)) * 1e-9,
            "wide": rng.choice([1.0, 2.0**-12, 2.0**20], (3, 5)) * rng.normal(size=(3, 5)),
        }[kind]
        bias = rng.integers(-2, 3, 3) * float(np.abs(weight).max()) / 2
        # Neuron j is on iff pixel j is above 0, so that images are activations.
        return BinarizedNetwork(
            [HiddenLayer(np.eye(5, dtype=int), np.ones(5, dtype=int))],
            OutputLayer(weight, np.ones(3), bias),
            levels=1,
        )

    @pytest.mark.parametrize("kind", ["signs", "real", "tiny", "wide"])
    @pytest.mark.parametrize("seed", range(10))
    def test_a_literal_holds_where_its_difference_does(self, seed: int, kind: str) -> None:
        network = self.network(seed, kind)
        z = np.array(list(product((0.0, 1.0), repeat=5)))
        logits = network.logits_of_levels(z)
        for target, source in ((0, 1), (2, 1), (1, 0)):
            margins = sorted({Fraction(a) - Fraction(b) for a, b in logits[:, [target, source]]})
            chosen = [margins[0], margins[len(margins) // 2], margins[-1]]
            near = [m + s * Fraction(1, 2**80) for m in chosen for s in (-1, 0, 1)]
            differences = [
                Difference(target, source, least, strict)
                for least in near
                for strict in (False, True)
            ]
            literals: dict[Difference, Literal] = {}
            for each in differences:
                holds = [each.holds([Fraction(y) for y in row]) for row in logits.tolist()]
                literal = literal_of(network.output, each)
                if isinstance(literal, bool):
                    assert set(holds) == {literal}
                    continue
                literals[each] = literal
                sums = (2 * z - 1).astype(object) @ literal.weight.astype(object)
                assert (sums >= literal.threshold).tolist() == holds
            if literals:
                self.check_heads(network, literals, z, logits)

    @staticmethod
    def check_heads(
        network: BinarizedNetwork,
        literals: dict[Difference, Literal],
        z: np.ndarray,
        logits: np.ndarray,
    ) -> None:
        heads = one_of_each(network, list(literals.values())).logits_of_levels(z)
        choices = [(each,) for each in literals] + [tuple(literals)]
        layers = all_of_each(network, choices, literals).logits_of_levels(z)
        rows = [[Fraction(y) for y in row] for row in logits.tolist()]
        for place, choice in enumerate(choices, 1):
            holds = np.array([all(each.holds(row) for each in choice) for row in rows])
            beats = layers[:, place] > layers[:, 0]
            assert (beats | ~holds).all()
            if len(choice) == 1:
                assert ((heads[:, place] > heads[:, 0]) | ~holds).all()
            if max(int(np.abs(each.weight).max()) for each in literals.values()) < 2**15:
                assert (beats == holds).all()
                assert len(choice) > 1 or ((heads[:, place] > heads[:, 0]) == holds).all()


@pytest.mark.skipif("BNNOPT_PEERS" not in os.environ, reason="BNNOPT_PEERS names no folder")
@pytest.mark.parametrize(
    "name", ["model_30_idx_7040_eps_3.00000", "model_30_idx_11985_eps_1.00000"]
)
def test_traffic_signs_have_counterexamples(name: str) -> None:
    import gzip

    folder = Path(os.environ["BNNOPT_PEERS"]) / "traffic-signs"
    (network,) = (folder / "onnx").glob("3_30_30*")
    specification = folder / "vnnlib" / f"{name}.vnnlib"
    answer = decide(network, specification, time_limit=300)
    assert answer.verdict is Verdict.SAT
    (case,) = read_vnnlib(specification).cases
    check_witness(answer, case, gzip.decompress(network.read_bytes()))


def test_no_proof_is_given_of_a_network_that_is_not_the_file_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network(4, inputs=3, widths=(4,))
    content, other = (onnx_model(one).SerializeToString() for one in (network, turned(network)))
    point = (Fraction(1, 2),) * 3
    winner = int(np.argmax(network.logits([0.5] * 3)))
    loser = int(np.argmin(network.logits([0.5] * 3)))
    case = Case(point, point, ((Difference(loser, winner, Fraction(0), True),),))
    assert ask(tmp_path, content, tiny_spec(case, 3)).verdict is Verdict.UNSAT

    def wrong(given: bytes, **options: Any) -> Any:
        found = read_onnx(given, **options)
        found.network = read_onnx(other, **options).network
        return found

    monkeypatch.setattr(deciding, "read_onnx", wrong)
    flipped = turned(network).logits([0.5] * 3)
    if flipped[loser] > flipped[winner]:
        case = Case(point, point, ((Difference(winner, loser, Fraction(0), True),),))
    with pytest.raises(ImportDisagreesError):
        ask(tmp_path, content, tiny_spec(case, 3))


def turned(network: BinarizedNetwork) -> BinarizedNetwork:
    """Another network: each first neuron the other way round."""
    first, *rest = network.hidden
    other = HiddenLayer(-first.rows(np.arange(first.shape[0])), 1 - first.threshold)
    return BinarizedNetwork((other, *rest), network.output, input_shape=network.input_shape)
