"""VNN-LIB files say what is read from them; whatever else they have is refused in a sentence."""

from __future__ import annotations

import gzip
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import AttackInstance
from bnnopt.errors import BnnoptError, InputError
from bnnopt.exchange.vnnlib import Case, Difference, Property, read_vnnlib, write_vnnlib
from bnnopt.exchange.vnnlib.first import MAX_DEPTH
from tests.exchange.tiny_onnx import tiny_spec
from tests.helpers import random_image, random_network

HEADER = "".join(f"(declare-const {name} Real)\n" for name in ("X_0", "X_1", "Y_0", "Y_1", "Y_2"))
BOX = "(assert (and (>= X_0 0) (<= X_0 1) (>= X_1 -1.5) (<= X_1 2e-1)))\n"
SECOND = """(vnnlib-version <2.0>)
(declare-network N
  (declare-input X float32 [1,2,1])
  (declare-output Y float32 [1,3]))
"""
OTHER = """(declare-network M
  (declare-input A float32 [1])
  (declare-output B float32 [1]))
"""


def read(text: str) -> Property:
    return read_vnnlib(text.encode())


def choices(statement: str) -> set[tuple[Difference, ...]]:
    (case,) = read(f"{HEADER}{BOX}(assert {statement})").cases
    return set(case.choices)


def difference(target: int, source: int, least: object = 0, strict: bool = False) -> Difference:
    return Difference(target, source, Fraction(str(least)), strict)


def test_bounds_are_exact_and_the_tightest_ones_count() -> None:
    text = HEADER + BOX + "(assert (<= 0.1 X_0)) (assert (>= 9 (* 10 X_0)))\n"
    (case,) = read(text + "(assert (>= X_0 (- 1))) (assert (>= Y_0 Y_1))").cases
    assert case.low == (Fraction(1, 10), Fraction(-3, 2))
    assert case.high == (Fraction(9, 10), Fraction(1, 5))
    assert case.contains([Fraction("0.1"), Fraction(0)])
    assert not case.contains([Fraction("0.1") - Fraction(1, 10**30), Fraction(0)])


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("(>= Y_0 Y_1)", {(difference(0, 1),)}),
        ("(<= Y_0 Y_1)", {(difference(1, 0),)}),
        ("(> Y_0 Y_1)", {(difference(0, 1, strict=True),)}),
        ("(< Y_0 Y_1)", {(difference(1, 0, strict=True),)}),
        ("(>= (- Y_0 Y_1) 2.5)", {(difference(0, 1, "5/2"),)}),
        ("(<= (+ Y_0 0.5) (- Y_1 1e-1))", {(difference(1, 0, "0.6"),)}),
        ("(>= (* 2 Y_0) (+ (* Y_1 2) 3))", {(difference(0, 1, "3/2"),)}),
        ("(>= (- Y_0) (- 1 Y_2))", {(difference(2, 0, 1),)}),
        (
            "(or (and (>= Y_0 Y_1) (>= Y_0 Y_2)) (>= Y_1 Y_2))",
            {(difference(0, 1), difference(0, 2)), (difference(1, 2),)},
        ),
        (
            "(and (or (>= Y_0 Y_1) (>= Y_1 Y_2)) (or (>= Y_0 Y_2)))",
            {(difference(0, 1), difference(0, 2)), (difference(1, 2), difference(0, 2))},
        ),
        ("(or (>= Y_0 Y_0) (>= Y_1 Y_0))", {(), (difference(1, 0),)}),
        ("(or (> Y_0 Y_0) (>= Y_1 Y_0))", {(difference(1, 0),)}),
    ],
)
def test_statements_on_outputs_become_differences(
    statement: str, wanted: set[tuple[Difference, ...]]
) -> None:
    found = {tuple(sorted(choice, key=str)) for choice in choices(statement)}
    assert found == {tuple(sorted(choice, key=str)) for choice in wanted}


def test_disjunctions_over_inputs_become_boxes_and_empty_ones_are_left_out() -> None:
    parts = "(and (<= X_0 0.25) (>= Y_0 Y_1)) (and (>= X_0 0.5) (>= Y_1 Y_0)) (and (>= X_0 3))"
    cases = read(f"{HEADER}{BOX}(assert (or {parts} (and (<= X_0 0.25) (>= Y_2 Y_1))))").cases
    assert [(case.low[0], case.high[0]) for case in cases] == [
        (0, Fraction(1, 4)),
        (Fraction(1, 2), 1),
    ]
    assert cases[0].choices == ((difference(0, 1),), (difference(2, 1),))
    assert cases[1].choices == ((difference(1, 0),),)
    assert read(f"{HEADER}{BOX}(assert (>= X_0 2)) (assert (>= Y_0 Y_1))").cases == ()
    assert read(f"{HEADER}{BOX}(assert (or (> Y_0 Y_0)))").cases == ()


def test_comments_spaces_and_gzip_do_not_matter(tmp_path: Path) -> None:
    text = f"; (a comment ))\n{HEADER}{BOX}\t(assert\n(>= ; here\r\n Y_0 Y_1))"
    (tmp_path / "a.vnnlib.gz").write_bytes(gzip.compress(text.encode()))
    assert read_vnnlib(tmp_path / "a.vnnlib.gz") == read_vnnlib(tmp_path / "a.vnnlib")
    assert read_vnnlib(tmp_path / "a.vnnlib") == read(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{HEADER}{BOX}(assert (>= Y_0 Y_1)", "cut off"),
        (f"{HEADER}{BOX}(assert (>= Y_0 Y_1)))", "without its"),
        (HEADER + BOX + "(" * 10**5 + ")" * 10**5, "nested more than"),
        (f"{HEADER}{BOX}(assert (<= X_0 {'9' * 500}))", "no number"),
        (f"{HEADER}{BOX}(assert (<= X_0 1e9999))", "no number"),
        (f"{HEADER}{BOX}(assert (<= X_0 (* {'1e999 ' * 20})))", "bits"),
        (f"{HEADER}{BOX}(assert (<= X_0 nan))", "no number"),
        (f"{HEADER}{BOX}(assert (<= X_0 1e300))", "bits"),
        (f"{HEADER}{BOX}(assert (>= (+ Y_0 Y_1) 1e999))", "bits"),
        (f"{HEADER}{BOX}(assert (<= X_7 1))", "no number"),
        (f"{HEADER}{BOX}(assert (<= Z_0 1))", "no number"),
        (f"{HEADER}(declare-const X_1 Real)", "twice"),
        (f"{HEADER}(declare-const X_3 Real){BOX}", "gap"),
        (f"{HEADER}(declare-const Z Real)", "neither"),
        (f"{HEADER}(check-sat)", "neither"),
        (f"{HEADER}{BOX}(assert)", "neither"),
        (f"{HEADER}{BOX}(assert (= Y_0 Y_1))", "no comparison"),
        (f"{HEADER}{BOX}(assert (>= Y_0 Y_1 Y_2))", "no comparison"),
        (f"{HEADER}{BOX}(assert (>= (/ Y_0 2) Y_1))", "no sum"),
        (f"{HEADER}{BOX}(assert (>= (+) Y_1))", "no sum"),
        (f"{HEADER}{BOX}(assert Y_0)", "no comparison"),
        (f"{HEADER}{BOX}Y_0", "outside"),
        (f"{HEADER}(assert (<= X_0 1))(assert (>= Y_0 Y_1))", "X_0 has no lower bound"),
        (f"{HEADER}{BOX}(assert (< X_0 1))", "strict bound"),
        (f"{HEADER}{BOX}(assert (<= (+ X_0 X_1) 1))", "ties several inputs"),
        (f"{HEADER}{BOX}(assert (<= X_0 Y_1))", "compares inputs with outputs"),
        (f"{HEADER}{BOX}(assert (<= Y_0 1))", "no difference"),
        (f"{HEADER}{BOX}(assert (>= (+ Y_0 Y_1) 1))", "no difference"),
        (f"{HEADER}{BOX}(assert (>= (- (+ Y_0 Y_1) Y_2) 1))", "no difference"),
        (f"{HEADER}{BOX}(assert (>= (* Y_0 Y_1) 1))", "not linear"),
        (f"{HEADER}{BOX}(assert (>= Y_0 Ÿ))", "ASCII"),
        ("", "must be declared"),
        (
            HEADER + BOX + "(assert (or (>= Y_0 Y_1) (>= Y_1 Y_2) (>= Y_2 Y_0)))\n" * 20,
            "more than",
        ),
        (f"{SECOND}(assert (<= X[0,2,0] 1.0))", "out of bounds"),
        (f"{SECOND}(assert (<= X[0,-1,0] 1.0))", "no VNN-LIB|from 0 to"),
        (f"{SECOND}(assert (<= X[0,99999999999999999999999,0] 1.0))", "too large"),
        (f"{SECOND}(assert (<= X[0,0,0] {'9' * 400}.0))", "no VNN-LIB 2.0"),
        (f"{SECOND}(assert (<= Z 1.0))", "no VNN-LIB 2.0"),
        (f"{SECOND}(assert (<= Y[0,0] 1.0))", "no difference"),
        (f"{SECOND}(assert (", "cut off"),
        ("(vnnlib-version <2.0>) " + "(" * 10**5 + ")" * 10**5, "nested"),
        (SECOND.replace("float32", "int8") + "(assert (<= X[0,0,0] 1))", "type"),
        (
            SECOND + OTHER + "(assert (<= X[0,0,0] 1.0))",
            "one network",
        ),
    ],
)
def test_what_is_not_served_is_refused_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        read(text)
    assert len(str(error.value)) < 400


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.vnnlib.gz").write_bytes(gzip.compress(b" " * (2**26 + 1)))
    with pytest.raises(InputError, match="more than"):
        read_vnnlib(tmp_path / "big.vnnlib.gz")


def test_nesting_up_to_the_limit_is_read() -> None:
    inner = "(>= Y_0 Y_1)"
    for _ in range((MAX_DEPTH - 2) // 1 - 1):
        inner = f"(and {inner})"
    assert choices(inner) == {(difference(0, 1),)}


def test_both_versions_say_the_same() -> None:
    wanted = ((difference(0, 1, "0.5"), difference(2, 1)), (difference(1, 2, strict=True),))
    case = Case((Fraction(0), Fraction("-0.5")), (Fraction(1), Fraction("0.25")), wanted)
    first, second = (read(tiny_spec(case, 3, version)) for version in ("1.0", "2.0"))
    assert first.cases == second.cases == (case,)
    assert (first.version, second.version) == ("1.0", "2.0")
    assert second.inputs.shape == (1, 2)


def test_version_two_has_equalities_and_places_in_order() -> None:
    bounds = "(>= X[0,0,0] 0.0) (<= X[0,0,0] 1.0) (== X[0,1,0] 0.5)"
    text = f"{SECOND}(assert (and {bounds}))(assert (or (== Y[0,0] Y[0,1]) (!= Y[0,1] Y[0,2])))"
    (case,) = read(text).cases
    assert (case.low, case.high) == ((0, Fraction(1, 2)), (1, Fraction(1, 2)))
    assert case.choices == (
        (difference(0, 1), difference(1, 0)),
        (difference(1, 2, strict=True),),
        (difference(2, 1, strict=True),),
    )


@given(
    seed=st.integers(0, 10**6),
    version=st.sampled_from(["1.0", "2.0"]),
    ties=st.sampled_from(["lowest", "never", "always"]),
    direction=st.sampled_from(["both", "lighten", "darken"]),
)
def test_what_is_written_asks_for_the_flips_of_the_instance(
    seed: int, version: str, ties: str, direction: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("written") / "a.vnnlib"
    rng = np.random.default_rng(seed)
    network = random_network(seed, inputs=4, levels=[7, 255][seed % 2])
    image = rng.random(4) if seed % 3 else random_image(network, seed)
    within = (image * rng.random(4), 1 - (1 - image) * rng.random(4))
    instance = AttackInstance(
        network,
        image,
        ["0.1", "8/255", "1"][seed % 3],  # type: ignore[arg-type]
        "untargeted",
        direction=direction,  # type: ignore[arg-type]
        mask=rng.random(4) < 0.8,
        ties=ties,  # type: ignore[arg-type]
        within=within,
    )
    write_vnnlib(instance, path, version)
    (case,) = read_vnnlib(path).cases
    low, high = (np.array(side, dtype=np.float64) for side in (case.low, case.high))
    near = 2.0**-19 / network.levels
    for side, exact in zip((low, high), instance.point_box, strict=True):
        assert np.abs(side - exact / network.levels).max() <= near
    for share in rng.random((10, 4)):
        z = network.levels_of(np.clip(low + share * (high - low), low, high))
        assert instance.admits(z[0] / network.levels)
        logits = network.logits_of_levels(z)[0]
        flips = case.holds([Fraction(y) for y in logits.tolist()])
        assert flips == instance.are_flips(z)[0]


def test_budgets_that_are_no_box_are_not_written(tmp_path: Path) -> None:
    network = random_network(0)
    for options in ({"max_pixels": 1}, {"max_l1": 0.1}, {"domain": "pixels"}):
        instance = AttackInstance(network, random_image(network, 0), 0.1, **options)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="VNN-LIB"):
            write_vnnlib(instance, tmp_path / "a.vnnlib")
    with pytest.raises(BnnoptError, match=r"1\.0, 2\.0"):
        write_vnnlib(AttackInstance(network, random_image(network, 0), 0.1), tmp_path / "a", "3.0")
    assert not list(tmp_path.iterdir())
