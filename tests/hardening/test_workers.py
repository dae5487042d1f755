"""What a worker process says comes home, and it leaves nothing behind."""

from __future__ import annotations

import pickle

import pytest

from bnnopt import errors
from tests.hardening.conftest import Program

MADE = [
    errors.UnknownNameError("goal", "lo", ["l0", "l1"]),
    errors.MissingDependencyError("torch", "training", "torch"),
    errors.InputError("why"),
    errors.DataError("why"),
    errors.SolverMissingError("why"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error: errors.BnnoptError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))


def test_a_workers_complaint_is_one_line(program: Program) -> None:
    arguments = ("--images", "0,1", "--workers", "2", "--goal", "nonsense")
    run = program("attack", "fashion-mnist-2x100", *arguments)
    assert (run.returncode, run.stdout) == (2, b"")
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith(b"bnnopt: unknown goal 'nonsense'")


def test_workers_say_nothing_but_their_results(program: Program) -> None:
    arguments = ("--images", "0,1", "--workers", "2", "--epsilon", "0", "--method", "milp")
    run = program("attack", "fashion-mnist-2x100", *arguments)
    assert run.returncode == 0
    assert [line.partition(b":")[0] for line in sorted(run.stderr.strip().splitlines())] == [
        b"image 0",
        b"image 1",
    ]
