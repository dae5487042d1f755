from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bnnopt.rounded import at_least, at_most

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(NUMBERS, st.integers(1, 9))
def test_printed_numbers_are_on_the_safe_side(value: float, digits: int) -> None:
    assert float(at_least(value, digits)) <= value <= float(at_most(value, digits))


def test_a_number_of_few_digits_is_printed_as_it_is() -> None:
    assert at_least(0.004) == at_most(0.004) == "0.004"
    assert at_least(-12.0) == at_most(-12.0) == "-12"
    assert at_least(0.00127806, 4) == "0.001278"
    assert at_most(0.00127806, 4) == "0.001279"
    assert at_least(None) == at_most(None) == ""
