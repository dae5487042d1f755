from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt.arguments import (
    read_choice,
    read_class,
    read_each,
    read_fraction,
    read_names,
    read_number,
    read_whole,
)
from bnnopt.errors import InputError, UnknownNameError

NAMES = ("T-shirt", "Trouser", "Bag")


class Number(IntEnum):
    THREE = 3


class Text(StrEnum):
    BAG = "Bag"


def torch_scalar(value: Any, kind: str | None = None, **options: Any) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(value, dtype=getattr(torch, kind) if kind else None, **options)


# --- fractions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("8/255", Fraction(8, 255)),
        (" 8 / 255 ", Fraction(8, 255)),
        ("0.01", Fraction(1, 100)),
        ("1e-2", Fraction(1, 100)),
        (".5", Fraction(1, 2)),
        ("+1.", Fraction(1)),
        ("-0", Fraction(0)),
        ("1e-300", Fraction(1, 10**300)),
        (0.01, Fraction(1, 100)),
        (8 / 255, Fraction(repr(8 / 255))),
        (5e-324, Fraction("5e-324")),
        (-0.0, Fraction(0)),
        (1, Fraction(1)),
        (Fraction(8, 255), Fraction(8, 255)),
        (Decimal("0.01"), Fraction(1, 100)),
        (np.float16(0.004), Fraction(1, 250)),
        (np.float32(0.004), Fraction(1, 250)),
        (np.float64(0.004), Fraction(1, 250)),
        (np.longdouble("0.004"), Fraction(1, 250)),
        (np.float32(1e-30), Fraction("1e-30")),
        (np.array(0.004, dtype=np.float32), Fraction(1, 250)),
        (np.uint8(1), Fraction(1)),
        (np.str_("8/255"), Fraction(8, 255)),
    ],
)
def test_a_fraction_is_what_was_written(value: Any, expected: Fraction) -> None:
    read = read_fraction(value, "epsilon", high=1)
    assert type(read) is Fraction
    assert read == expected


def test_a_fraction_is_read_from_torch_by_its_shortest_text() -> None:
    for kind in ("float16", "float32", "float64"):
        assert read_fraction(torch_scalar(0.004, kind), "epsilon") == Fraction(1, 250)
    assert read_fraction(torch_scalar(0.25, requires_grad=True), "epsilon") == Fraction(1, 4)
    assert read_fraction(torch_scalar(1), "epsilon") == 1
    for refused in (torch_scalar(True), torch_scalar([0.1]), torch_scalar(0.1, "bfloat16")):
        with pytest.raises(InputError, match="epsilon"):
            read_fraction(refused, "epsilon")


def test_the_printing_options_of_numpy_do_not_matter() -> None:
    with np.printoptions(precision=2, legacy="1.13"):
        assert read_fraction(np.float32(0.00123456), "epsilon") == Fraction("0.00123456")
        assert read_fraction(np.float64(8 / 255), "epsilon") == Fraction(repr(8 / 255))


@given(st.floats(0, 1e300))
def test_a_float_is_the_fraction_of_its_shortest_text(value: float) -> None:
    assert read_fraction(value, "x") == Fraction(str(value))
    assert read_fraction(np.float64(value), "x") == Fraction(str(value))
    assert read_fraction(str(value), "x") == Fraction(str(value))
    assert float(read_fraction(value, "x")) == value


@given(st.floats(0, 1, width=32))
def test_a_float32_is_the_shortest_text_that_is_nearest_to_it(value: float) -> None:
    read = read_fraction(np.float32(value), "x")
    assert np.float32(float(read)) == np.float32(value)


@given(st.fractions(0, 1, max_denominator=10**6))
def test_a_quotient_may_be_written(value: Fraction) -> None:
    assert read_fraction(f"{value.numerator}/{value.denominator}", "x") == value


@pytest.mark.parametrize(
    "value",
    [
        True,
        np.True_,
        None,
        float("nan"),
        float("inf"),
        np.float32("nan"),
        np.float16("-inf"),
        1j,
        np.complex64(1),
        "",
        "a",
        "nan",
        "inf",
        "1/0",
        "1/2/3",
        "0.5/2",
        "1e999999999",
        "1e-999999999",
        pytest.param("1" * 10**6, id="long"),
        "0x1",
        "1_0",
        "٣",
        "5%",
        b"0.1",
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("1e999999999"),
        Decimal("1e-999999999"),
        [0.1],
        (0.1,),
        np.array([0.1]),
        np.zeros((0,)),
        {},
        object(),
        np.datetime64("2020-01-01"),
    ],
)
@pytest.mark.parametrize("read", [read_fraction, read_whole, read_number])
def test_what_is_no_finite_number_is_refused_in_one_line(
    read: Callable[..., Any], value: Any
) -> None:
    with pytest.raises(InputError, match=r"^gamma must be ") as caught:
        read(value, "gamma")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_fraction_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"max_l1 must be a number, at least 0, not -0.1"):
        read_fraction(-0.1, "max_l1")
    with pytest.raises(InputError, match=r"radius must be a number from 0.5 to 2, not 2.5"):
        read_fraction(2.5, "radius", low=0.5, high=2)
    assert read_fraction(2, "radius", low=0.5, high=2) == 2
    assert read_fraction(10**5000, "max_l1") == 10**5000


@pytest.mark.parametrize(
    ("value", "written"), [(8, "8/255"), (8.0, "8/255"), (2, "2/255"), (300, "8/255"), (1.5, "8/")]
)
def test_an_epsilon_in_levels_is_refused_with_the_remedy(value: Any, written: str) -> None:
    with pytest.raises(InputError, match=r"lie in \[0, 1\], so for .* of 255 write") as caught:
        read_fraction(value, "epsilon", high=1, levels=255)
    assert f'write "{written}' in str(caught.value)
    with pytest.raises(InputError) as caught:
        read_fraction(-value, "epsilon", high=1, levels=255)
    assert "255" not in str(caught.value)


# --- whole numbers and numbers -----------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        3,
        3.0,
        np.float64(3),
        np.float16(3),
        np.int64(3),
        np.uint8(3),
        np.array(3),
        np.array(3.0, dtype=np.float32),
        Fraction(3),
        Decimal(3),
        Number.THREE,
    ],
)
def test_a_whole_number_of_any_type_is_an_int(value: Any) -> None:
    read = read_whole(value, "threads", low=3, high=3)
    assert type(read) is int
    assert json.dumps(read) == "3"


def test_a_whole_number_of_torch_is_an_int() -> None:
    for kind in ("uint8", "int64", "float16", "float64"):
        assert json.dumps(read_whole(torch_scalar(3, kind), "threads")) == "3"
    for refused in (torch_scalar(True), torch_scalar([3]), torch_scalar(4.5)):
        with pytest.raises(InputError, match="threads"):
            read_whole(refused, "threads")


@pytest.mark.parametrize("value", [4.5, "3", np.str_("3"), Fraction(7, 2), 1e-300, np.array([3])])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="seed must be a whole number from 0 to 9, not "):
        read_whole(value, "seed", low=0, high=9)


@given(st.integers())
def test_a_whole_number_is_itself_where_it_is_in_range(value: int) -> None:
    assert read_whole(value, "index") == value
    for low, high in ((value + 1, None), (None, value - 1)):
        with pytest.raises(InputError, match="index must be a whole number, at "):
            read_whole(value, "index", low=low, high=high)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        (0.1, 0.1),
        (np.float32(0.1), 0.1),
        (np.float16(0.1), 0.1),
        (np.int8(3), 3.0),
        (np.array(0.1), 0.1),
        (Fraction(1, 3), 1 / 3),
        (Decimal("0.1"), 0.1),
    ],
)
def test_a_number_of_any_type_is_a_float(value: Any, expected: float) -> None:
    read = read_number(value, "time_limit", above=0)
    assert type(read) is float
    assert read == expected
    assert json.loads(json.dumps(read)) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_itself(value: float) -> None:
    assert read_number(value, "x") == value
    assert read_number(np.float64(value), "x") == value
    assert read_number(torch_scalar(value, "float64"), "x") == value


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (0, {"above": 0}, "time_limit must be a finite number above 0, not 0"),
        ("3", {"above": 0}, "time_limit must be a finite number above 0, not '3'"),
        (-1, {"low": 0}, "a finite number, at least 0, not -1"),
        (2, {"low": 0, "high": 1}, "a finite number from 0 to 1, not 2"),
        (2, {"high": 1}, "a finite number, at most 1, not 2"),
        (10**400, {}, "a finite number, not 1000"),
        pytest.param(10**5000, {}, "a finite number, not a value of type int", id="huge"),
        (-(10**400), {}, "a finite number, not -1000"),
    ],
)
def test_a_number_out_of_range_is_refused(value: Any, bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_number(value, "time_limit", **bounds)


# --- classes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [2, 2.0, "2", "Bag", np.uint8(2), np.float64(2), np.array(2), np.str_("Bag"), Text.BAG]
)
def test_a_class_is_a_number_or_a_name(value: Any) -> None:
    read = read_class(value, "target", 3, NAMES)
    assert type(read) is int
    assert json.dumps(read) == "2"


def test_a_class_may_be_a_label_of_torch() -> None:
    assert json.dumps(read_class(torch_scalar(2), "label", 3)) == "2"


@pytest.mark.parametrize("value", [-1, 3, 2.5, True, None, float("nan"), [2], np.array([2]), b"2"])
def test_what_is_no_class_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"^label must be a class number from 0 to 2, not "):
        read_class(value, "label", 3)
    with pytest.raises(InputError, match="from 0 to 2, untargeted or a name, not "):
        read_class(value, "target", 3, NAMES, ("untargeted",))


@pytest.mark.parametrize(
    "text", ["3", "-1", "2.0", "", " 2", "٢", pytest.param("9" * 10000, id="long"), "dog"]
)
def test_a_text_that_is_no_class_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^label must be a class number from 0 to 2, not "):
        read_class(text, "label", 3)
    with pytest.raises(UnknownNameError, match="Trouser, Bag, or a class number from 0 to 2"):
        read_class(text, "label", 3, NAMES)


def test_the_nearest_class_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'Trouser'\?"):
        read_class("trousers", "label", 3, NAMES)
    with pytest.raises(UnknownNameError, match=r"did you mean 'runner-up'\?"):
        read_class("runnerup", "target", 3, NAMES, ("runner-up", "untargeted"))
    with pytest.raises(UnknownNameError, match="choose from untargeted, or a class number"):
        read_class("x", "target", 3, (), ("untargeted",))


def test_a_digit_that_is_also_the_name_of_another_class_is_refused() -> None:
    assert read_class("1", "label", 2, ("0", "1")) == 1
    assert read_class("8", "label", 2, ("3", "8")) == 1
    for names in (("1", "0"), ("a", "a")):
        with pytest.raises(InputError, match="several classes: give the class's number"):
            read_class(names[0], "label", 2, names)
    assert read_class(1, "label", 2, ("1", "0")) == 1


# --- names, flags and sequences ----------------------------------------------------------------


def test_a_choice_is_a_known_name_as_plain_text() -> None:
    for value in ("Bag", np.str_("Bag"), Text.BAG):
        read = read_choice(value, "garment", NAMES)
        assert type(read) is str
        assert read == "Bag"


@pytest.mark.parametrize("value", [None, 3, ["Bag"], b"Bag", "bag", "", np.zeros((9, 9)), object()])
def test_what_is_no_choice_is_refused_with_what_is(value: Any) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown garment .*choose from T-shirt, Trouser, Bag"
    ) as caught:
        read_choice(value, "garment", iter(NAMES))
    assert "\n" not in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"\(did you mean 'Bag'\?\)"):
        read_choice("bag", "garment", NAMES)
    with pytest.raises(UnknownNameError) as caught:
        read_choice("x" * 10**6, "garment", NAMES)
    assert len(str(caught.value)) < 250


def test_names_are_known_or_refused_with_the_nearest() -> None:
    known = ("decompose", "cuts")
    assert read_names(None, "option", known) == {}
    assert read_names({}, "option", ()) == {}
    assert read_names({"cuts": [1], np.str_("decompose"): None}, "option", known) == {
        "cuts": [1],
        "decompose": None,
    }
    with pytest.raises(UnknownNameError, match=r"unknown option 'cut' \(did you mean 'cuts'\?\)"):
        read_names({"decompose": 1, "cut": 2, "x": 3}, "option", known)
    with pytest.raises(UnknownNameError, match="unknown option '3': choose from decompose, cuts"):
        read_names({3: 1}, "option", known)
    with pytest.raises(InputError, match="unknown option 'cuts': none is taken here"):
        read_names({"cuts": 1}, "option", ())


@pytest.mark.parametrize("given_names", [[("cuts", 1)], "cuts", 3, ["cuts"], True])
def test_names_come_in_a_mapping(given_names: Any) -> None:
    with pytest.raises(InputError, match="options must be a mapping such as"):
        read_names(given_names, "option", ("cuts",))


def read_label(value: Any) -> int:
    return read_class(value, "label", 3, NAMES)


def test_a_sequence_of_any_kind_is_a_list_of_plain_values() -> None:
    pd = pytest.importorskip("pandas")
    for values in (
        [1, 2],
        (1, "Bag"),
        np.array([1, 2], dtype=np.uint8),
        np.array([1.0, 2.0]),
        torch_scalar([1, 2]),
        pd.Series([1, 2], index=[7, 8]),
        range(1, 3),
        iter([1, 2]),
    ):
        read = read_each(values, "labels", 2, read_label)
        assert json.dumps(read) == "[1, 2]"
    assert read_each([], "labels", 0, read_label) == []


@pytest.mark.parametrize("values", [None, 3, "12", b"12", {1: 2}, {1, 2}, np.array(3), object()])
def test_what_is_no_sequence_is_refused(values: Any) -> None:
    with pytest.raises(InputError, match="labels must be a sequence of 2 entries, not "):
        read_each(values, "labels", 2, read_label)


def test_a_sequence_of_another_length_or_with_a_wrong_entry_is_refused() -> None:
    with pytest.raises(InputError, match="labels has 3 entries: give 2, one an image"):
        read_each([1, 2, 0], "labels", 2, read_label)
    with pytest.raises(InputError, match="label must be a class number"):
        read_each([1, None], "labels", 2, read_label)
    with pytest.raises(InputError, match=r"label must be .* not an array of shape"):
        read_each(np.zeros((2, 3)), "labels", 2, read_label)


# --- anything at all ---------------------------------------------------------------------------

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.binary(),
    st.fractions(),
    st.decimals(),
    st.datetimes(),
    st.lists(st.integers()),
    st.sets(st.integers()),
    st.dictionaries(st.text(), st.integers()),
    st.floats(width=32).map(np.float32),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.lists(st.floats()).map(np.array),
)


@given(ANYTHING)
def test_anything_is_read_to_a_plain_value_or_refused(value: Any) -> None:
    readers: list[tuple[Callable[[], Any], type]] = [
        (lambda: read_fraction(value, "x", high=1), Fraction),
        (lambda: read_whole(value, "x", low=0), int),
        (lambda: read_number(value, "x", above=0), float),
        (lambda: read_class(value, "x", 3, NAMES), int),
        (lambda: read_choice(value, "x", NAMES), str),
        (lambda: read_names(value, "x", NAMES), dict),
        (lambda: read_each(value, "x", 2, read_label), list),
    ]
    for read, kind in readers:
        try:
            plain = read()
        except (InputError, UnknownNameError):
            continue
        assert type(plain) is kind
