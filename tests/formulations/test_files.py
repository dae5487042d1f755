"""LP and MPS files: what they say at the top, their names, and that real solvers read them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

import solvers
from bnnopt import AttackInstance, __version__
from bnnopt.formulations.attack import attack_model
from bnnopt.formulations.files import ENDINGS, LONGEST, describe_attack, write_model
from bnnopt.network import fingerprint
from tests.helpers import random_image, random_network

GOALS: dict[str, dict[str, Any]] = {
    "the largest margin": {},
    "of every class": {"target": "untargeted"},
    "a flip": {"goal": "flip"},
    "the least sum": {"goal": "l1", "domain": "pixels"},
    "the fewest pixels": {"goal": "l0", "domain": "pixels", "max_l1": 1.5},
    "the margin for a price": {"goal": "margin+0.5*linf"},
}


def instance_of(**asked: Any) -> AttackInstance:
    network = replace(random_network(4), name="tiny")
    return AttackInstance(network, random_image(network, 1), "3/7", **asked)


def read_by_highs(path: Path) -> float:
    import highspy

    highs = highspy.highs._Highs()
    highs.setOptionValue("output_flag", False)
    assert highs.readModel(str(path)) == highspy.HighsStatus.kOk
    highs.run()
    return float(highs.getInfo().objective_function_value)


def read_by_cbc(path: Path) -> float:
    cbcbox = pytest.importorskip("cbcbox")
    arguments = [cbcbox.cbc_bin_path(), path.name, "-cuts", "off", "-preprocess", "off"]
    solution = path.with_suffix(".txt")
    run = subprocess.run(
        [*arguments, "-solve", "-solution", solution.name],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Total time" in run.stdout
    first = solution.read_text().splitlines()[0]
    assert first.startswith("Optimal"), first
    return float(first.rsplit(" ", 1)[1])


def read_by_scip(path: Path) -> float:
    pyscipopt = pytest.importorskip("pyscipopt")
    model = pyscipopt.Model()
    model.hideOutput()
    model.readProblem(str(path))
    model.optimize()
    assert model.getStatus() == "optimal"
    return float(model.getObjVal())


def read_by_gurobi(path: Path) -> float:
    gurobipy = pytest.importorskip("gurobipy")
    with gurobipy.Env(params={"OutputFlag": 0}) as env, gurobipy.read(str(path), env) as model:
        model.optimize()
        assert model.Status == gurobipy.GRB.OPTIMAL
        return float(model.ObjVal)


READERS: dict[str, Callable[[Path], float]] = {
    "highs": read_by_highs,
    "cbc": read_by_cbc,
    "scip": read_by_scip,
    "gurobi": read_by_gurobi,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("formulation", ["tight", "paper"])
@pytest.mark.parametrize("goal", GOALS)
def test_a_solver_that_reads_the_file_finds_the_optimum_of_the_model(
    goal: str, formulation: str, ending: str, reader: str, tmp_path: Path
) -> None:
    instance = instance_of(**GOALS[goal])
    model = attack_model(instance, formulation)
    path = tmp_path / f"attack{ending}"
    write_model(model, path, describe_attack(instance, formulation, __version__))
    known = solvers.solve(model)
    assert known.termination is solvers.Termination.OPTIMAL
    assert abs(READERS[reader](path)) == pytest.approx(abs(known.objective or 0.0), abs=1e-6)
    if reader != "cbc":  # it tells every optimum as that of a minimum
        assert READERS[reader](path) == pytest.approx(known.objective, abs=1e-6)


def names_in(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_]\w*", text))


@pytest.mark.parametrize("ending", ENDINGS)
def test_variables_and_rows_are_named_by_layer_and_neuron(ending: str, tmp_path: Path) -> None:
    instance = instance_of()
    path = tmp_path / f"attack{ending}"
    for formulation in ("tight", "paper"):
        model = attack_model(instance, formulation)
        write_model(model, path)
        names = names_in(path.read_text())
        assert {f"h{l}_{j}" for l, j in model.h} <= names
        assert {f"p{i}" for i in model.p} <= names
        assert {f"on_{l}_{j}" for l, j in model.on} <= names
        assert {f"off_{l}_{j}" for l, j in model.off} <= names
        if formulation == "paper":
            assert {f"a{l}_{j}" for l, j in model.a} <= names
            assert {f"sums_{l}_{j}" for l, j in model.sums} <= names


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_row_holds_what_its_name_says(ending: str, tmp_path: Path) -> None:
    import highspy

    instance = instance_of()
    model = attack_model(instance, "tight")
    path = tmp_path / f"attack{ending}"
    write_model(model, path)
    highs = highspy.highs._Highs()
    highs.setOptionValue("output_flag", False)
    highs.readModel(str(path))
    for key, row in model.on.items():
        status, number = highs.getRowByName("on_{}_{}".format(*key))
        assert status == highspy.HighsStatus.kOk
        *_, lower, _, _ = highs.getRow(number)
        assert lower == row.lower - (row.body.constant or 0.0)
        _, columns, values = highs.getRowEntries(number)
        found = {
            highs.getColName(int(column))[1]: value
            for column, value in zip(columns, values, strict=True)
        }
        terms = zip(row.body.linear_vars, row.body.linear_coefs, strict=True)
        assert found == {re.sub(r"[\[\]]", "", v.name).replace(",", "_"): c for v, c in terms}


def test_a_file_says_what_it_is_and_is_the_same_each_time(tmp_path: Path) -> None:
    instance = instance_of(target="untargeted", domain="pixels", max_pixels=2)
    for ending, mark in ((".lp", "\\"), (".mps", "*")):
        texts = []
        for name in ("first", "second"):
            path = tmp_path / f"{name}{ending}"
            about = describe_attack(instance, "tight", __version__, "image 1 of mine")
            write_model(attack_model(instance), path, about)
            texts.append(path.read_text())
        assert texts[0] == texts[1]
        head = [line[2:] for line in texts[0].splitlines() if line.startswith(f"{mark} ")]
        said = "\n".join(head)
        for part in (
            f"bnnopt {__version__}",
            "network: tiny, fingerprint " + fingerprint(instance.network),
            "image 1 of mine",
            f"epsilon: {3 / 7!r}; domain: pixels; levels: 0 to 7",
            "pixels that may move: 4 of 4, at most 2",
            f"source: {instance.source}; ties: lowest",
            f"target: {', '.join(str(c) for c in instance.targets)}",
            "formulation: tight; goal: margin",
            "objective: maximize margin, in units of 1.0",
            "the prediction changes at a margin of",
        ):
            assert part in said


@pytest.mark.parametrize("name", ["two\nlines max: x", "naïve \\ * name", "long " * 100])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_network_s_name_stays_a_comment(name: str, ending: str, tmp_path: Path) -> None:
    instance = instance_of()
    network = replace(instance.network, name=name)
    named = AttackInstance(network, instance.image, "3/7")
    path = tmp_path / f"attack{ending}"
    model = attack_model(named)
    write_model(model, path, describe_attack(named, "tight", __version__))
    assert path.read_bytes().isascii()
    lines = path.read_text().splitlines()
    assert max(map(len, lines)) <= LONGEST + 80
    assert read_by_highs(path) == pytest.approx(solvers.solve(model).objective)


@pytest.mark.parametrize("ending", ENDINGS)
def test_names_that_a_format_reads_otherwise_or_that_become_one_are_told_apart(
    ending: str, tmp_path: Path
) -> None:
    model = pyo.ConcreteModel()
    model.x = pyo.Var([11, "ü ]["], bounds=(0, 1))
    model.x1 = pyo.Var([1], bounds=(0, 2))
    model.e1, model.free, model.st = (pyo.Var(bounds=(0, k)) for k in (3, 4, 5))
    model.end = pyo.Constraint(expr=sum(model.component_data_objects(pyo.Var)) <= 20)
    model.o = pyo.Objective(
        expr=sum(k * v for k, v in enumerate(model.component_data_objects(pyo.Var), 1)),
        sense=pyo.maximize,
    )
    path = tmp_path / f"names{ending}"
    write_model(model, path)
    for reader in ("highs", "scip"):
        assert READERS[reader](path) == pytest.approx(solvers.solve(model).objective)


def test_constants_and_rows_of_every_kind_are_kept(tmp_path: Path) -> None:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(None, None))
    model.y = pyo.Var(bounds=(None, 9), domain=pyo.Integers)
    model.z = pyo.Var(bounds=(-2.5, None))
    model.range = pyo.Constraint(expr=pyo.inequality(-4, model.x + model.y, 6.5))
    model.range_low = pyo.Constraint(expr=model.z - model.x >= -1)  # the name of a side
    model.equal = pyo.Constraint(expr=model.z == 0.5)
    model.o = pyo.Objective(expr=2 * model.y - model.x + 1e-13 * model.z + 17)
    known = solvers.solve(model).objective
    model.o.sense = pyo.maximize
    most = solvers.solve(model).objective
    for ending in ENDINGS:
        for sense, value in ((pyo.minimize, known), (pyo.maximize, most)):
            model.o.sense = sense
            path = tmp_path / f"{sense}{ending}"
            write_model(model, path)
            assert "1e-13" in path.read_text()
            for reader in READERS.values():
                assert abs(reader(path)) == pytest.approx(abs(value or 0.0), abs=1e-6)


def test_every_number_is_kept_to_the_last_digit(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).random(20) / 3.0
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(20), bounds=lambda m, i: (0, float(numbers[i])))
    model.o = pyo.Objective(
        expr=sum(float(c) * v for c, v in zip(numbers, model.x.values(), strict=True))
    )
    for ending in ENDINGS:
        write_model(model, tmp_path / f"all{ending}")
        text = (tmp_path / f"all{ending}").read_text()
        found = {float(word) for word in re.findall(r"\d[\d.]*(?:e-\d+)?", text)}
        assert set(numbers.tolist()) <= found
