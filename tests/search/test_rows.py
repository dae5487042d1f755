"""Loops over rows do what numpy's terms do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from bnnopt.search.rows import add_row, copy_row, exceeds, move_row, product, zeros

FloatArray = npt.NDArray[np.float64]


@pytest.fixture
def rows() -> FloatArray:
    return np.random.default_rng(0).integers(-8, 9, (2, 7)) / 4.0  # sums of those are exact


def test_a_row_is_added_times_its_sign(
    rows: FloatArray,
) -> None:
    total, row = rows[0].copy(), rows[1]
    add_row(total, row, -2.0)
    np.testing.assert_array_equal(total, rows[0] - 2.0 * row)


def test_a_row_is_copied_to_the_beginning_of_a_longer_one(
    rows: FloatArray,
) -> None:
    longer = np.full(9, 5.0)
    copy_row(rows[0], longer)
    np.testing.assert_array_equal(longer, [*rows[0], 5.0, 5.0])


def test_a_row_moves_a_share_of_the_way(
    rows: FloatArray,
) -> None:
    row = rows[0].copy()
    move_row(row, rows[1], 0.25)
    np.testing.assert_array_equal(row, rows[0] + 0.25 * (rows[1] - rows[0]))


def test_the_product_of_two_rows_has_all_their_entries(
    rows: FloatArray,
) -> None:
    assert product(rows[0], rows[1]) == rows[0] @ rows[1]
    assert product(rows[0, :0], rows[1, :0]) == 0.0


def test_what_is_spent_exceeds_where_one_entry_is_larger_than_the_most() -> None:
    most = np.array([1.0, 2.0, 3.0])
    assert not exceeds(most, most)
    assert not exceeds(np.zeros(0), np.zeros(0))
    for i in range(3):
        spent = most - 1.0
        spent[i] += 1.5
        assert exceeds(spent, most)


def test_a_new_row_is_of_zeros() -> None:
    np.testing.assert_array_equal(zeros(5), np.zeros(5))
