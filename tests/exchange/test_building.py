"""What readers share: constants held and work are bounded, and what nobody takes is let go."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.image import FileInput, image_of
from bnnopt.exchange.traced import building
from bnnopt.exchange.traced.building import Building
from bnnopt.exchange.traced.scalar import SIGN

ABOUT = FileInput("x", (4,), np.dtype(np.float32), None, True)


def image() -> Any:
    return image_of(ABOUT, (0, 255), 0, 1, 255).tensor


def test_a_value_is_let_go_behind_the_last_that_takes_it() -> None:
    tensor = image()
    seen = weakref.ref(tensor)
    found = Building(ABOUT, Counter({"a": 2, "b": 1}))
    found.put("a", tensor)
    found.put("c", tensor)  # which nothing takes
    del tensor
    found.used(["a"])
    assert set(found.values) == {"a"} and found.is_used("a")
    found.used(["a"])
    gc.collect()
    assert found.values == {} and seen() is None and not found.is_used("a")


def test_constants_are_bounded_that_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MOST_HELD", 2000)
    found = Building(ABOUT, Counter({"a": 1, "b": 1, "c": 1}))
    found.put("a", np.zeros(200))
    found.put("d", np.zeros(200))  # which nothing takes
    found.used(["a"])
    found.put("b", np.zeros(200))
    with pytest.raises(NetworkFormatError, match="take 3200 bytes: 2000 fit"):
        found.put("c", np.zeros(200))


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MOST_WORK", 1000)
    found = Building(ABOUT, Counter())
    for name in "abc":
        found.put(name, image())
    with pytest.raises(NetworkFormatError, match="too much work"):
        found.put("d", image())


def test_signs_that_several_take_become_neurons_once_and_under_their_first_name() -> None:
    tensor = image().apply("add", np.float32(-9.5)).step(SIGN)
    found = Building(ABOUT, Counter({"a": 1, "b": 2, "c": 1}))
    found.put("a", tensor)
    assert found.values["a"].is_stepped
    found.put("b", tensor)
    made = found.values["b"]
    assert not made.is_stepped and found.neurons(tensor) is made
    chosen = Building(ABOUT, Counter({"a": 2}), shared=[])
    chosen.put("a", tensor)
    assert chosen.values["a"].is_stepped


def test_the_coarsest_precision_before_a_sign_is_told_and_the_name_of_logits() -> None:
    found = Building(ABOUT, Counter({"last": 1, "end": 1}))
    signs = image().apply("add", np.float32(-9.5)).step(SIGN)
    found.put("", found.applied("Cast", "a cast", [image()], {"to": np.dtype(np.float16)}))
    found.put("last", found.applied("MatMul", "a matrix", [signs, np.ones((4, 3))], {}))
    found.put("end", found.applied("Softmax", "a softmax", [found.values["last"]], {}))
    walk = found.ended("end")
    assert (walk.precision, walk.logits, walk.softmax) == (np.float16, "last", True)
    assert walk.notes == ["a cast: numbers before a sign are rounded to float16"]
