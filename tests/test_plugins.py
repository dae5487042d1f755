"""Attacks and formulations of other packages: really installed ones, in a folder of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bnnopt
from bnnopt import plugins
from bnnopt.attacks import METHODS, attack_class, method_names
from bnnopt.errors import PluginError, UnknownNameError
from bnnopt.formulations.names import formulation_names

CODE = '''
import numpy as np
import pyomo.environ as pyo

from bnnopt.attacks.base import Attack, Findings
from bnnopt.formulations.paper import paper_model


class Corner(Attack):
    """The lowest corner of the box, or the highest."""

    method = "corner"

    def __init__(self, high: bool = False) -> None:
        self.high = high

    def run(self, instance, limits, starts):
        low, high = instance.point_box
        return Findings(np.array([high if self.high else low]), iterations=1)


class Renamed(Corner):
    method = "another"


def looser(instance):
    return paper_model(instance)


def empty(instance):
    return pyo.ConcreteModel()


NUMBER = 7
'''

ENTRIES = {
    "mine": """
[bnnopt.attacks]
corner = my_attacks:Corner
milp = my_attacks:Corner
none = my_attacks:Corner
missing = nowhere:Corner
absent = my_attacks:Absent
number = my_attacks:NUMBER
renamed = my_attacks:Renamed
twice = my_attacks:Corner

[bnnopt.formulations]
looser = my_attacks:looser
tight = my_attacks:empty
empty = my_attacks:empty
wrong = my_attacks:NUMBER
""",
    "theirs": "[bnnopt.attacks]\ntwice = my_attacks:Renamed\n",
}
QUESTION = ("fashion-mnist-2x100", "--images", "4", "--epsilon", "0.003")


def install(folder: Path) -> None:
    """Two packages, as pip leaves them."""
    (folder / "my_attacks.py").write_text(CODE)
    for name, entries in ENTRIES.items():
        about = folder / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(entries)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder)
    monkeypatch.syspath_prepend(folder)
    plugins._entries.cache_clear()
    yield folder
    plugins._entries.cache_clear()
    sys.modules.pop("my_attacks", None)


def image() -> Any:
    return bnnopt.datasets.embedded().x(4)


@pytest.mark.usefixtures("installed")
def test_an_attack_of_another_package_works_by_its_name_in_every_place() -> None:
    assert "corner" in method_names()
    results = [
        bnnopt.attack(QUESTION[0], image(), 0.003, method="corner", options={"high": high})
        for high in (False, True)
    ]
    assert {result.method for result in results} == {"corner"}
    assert all(result.verified for result in results)
    assert (results[0].adversarial <= results[1].adversarial).all()
    started = bnnopt.attack(QUESTION[0], image(), 0.003, method="pattern", start="corner")
    assert started.objective >= results[0].objective
    with pytest.raises(UnknownNameError, match="unknown method 'cornr'"):
        bnnopt.attack(QUESTION[0], image(), 0.003, method="cornr")
    with pytest.raises(UnknownNameError, match="unknown option 'hihg'"):
        bnnopt.attack(QUESTION[0], image(), 0.003, method="corner", options={"hihg": True})


@pytest.mark.usefixtures("installed")
def test_a_formulation_of_another_package_finds_the_same_optimum() -> None:
    assert formulation_names() == ["tight", "paper", "empty", "looser", "wrong"]
    mine, ours = (
        bnnopt.attack(QUESTION[0], image(), 0.002, method="milp", formulation=name)
        for name in ("looser", "tight")
    )
    assert mine.formulation == "looser"
    assert mine.status is ours.status is bnnopt.Status.OPTIMAL
    assert mine.objective == ours.objective


BROKEN = {
    "missing": "does not load (ModuleNotFoundError: No module named 'nowhere')",
    "absent": "does not load (AttributeError: module 'my_attacks' has no attribute 'Absent')",
    "number": "is no subclass of bnnopt.attacks.base.Attack",
    "renamed": "does not say method = 'renamed'",
    "twice": "is given by mine and theirs (bnnopt.attacks): uninstall one of them",
}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_attack_is_one_line_and_the_others_work(name: str, bnnopt_cli: Any) -> None:
    with pytest.raises(PluginError, match=re.escape(BROKEN[name])):
        attack_class(name)
    code, _, err = bnnopt_cli("attack", *QUESTION, "--method", name)
    assert code == 2
    assert err.count("\n") == 1
    assert BROKEN[name] in err
    assert attack_class("corner").method == "corner"


@pytest.mark.usefixtures("installed")
def test_a_formulation_that_is_no_model_of_an_attack_is_one_line(bnnopt_cli: Any) -> None:
    for name, message in {
        "wrong": "'wrong' of mine (bnnopt.formulations) is no function of an AttackInstance but 7",
        "empty": "the model of formulation 'empty' lacks p, h, margin",
        "missing": "unknown formulation 'missing'",
    }.items():
        arguments = (*QUESTION, "--method", "milp", "--formulation", name)
        code, _, err = bnnopt_cli("attack", *arguments)
        assert code == 2, err
        assert message in err
        assert err.count("\n") == 1


@pytest.mark.usefixtures("installed")
def test_no_package_takes_a_name_of_ours() -> None:
    assert attack_class("milp").__module__.startswith("bnnopt.")
    assert method_names()[: len(METHODS)] == [*METHODS]
    assert method_names().count("milp") == 1
    assert "none" not in method_names()
    with pytest.raises(UnknownNameError, match="unknown method 'none'"):
        attack_class("none")
    result = bnnopt.attack(QUESTION[0], image(), 0.002, method="milp", formulation="tight")
    assert result.verified  # by our model, not by one that is empty


@pytest.mark.usefixtures("installed")
def test_the_listing_has_all_of_them_and_why_some_cannot_be_used(bnnopt_cli: Any) -> None:
    code, out, _ = bnnopt_cli("methods")
    assert code == 0
    flat = " ".join(out.split())
    for row in ("method corner mine yes", "formulation looser mine yes", "method bab bnnopt yes"):
        assert row in flat
    for row in ("method milp mine no: the name is taken", "formulation tight mine no: the name"):
        assert row in flat
    for name in BROKEN:
        assert re.search(rf"method {name} \w+(, \w+)? no: ", flat)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_campaigns_and_commands_with_workers_take_them(workers: str, tmp_path: Path) -> None:
    install(tmp_path)
    spec = tmp_path / "spec.toml"
    spec.write_text(
        'networks = ["fashion-mnist-2x100"]\nimages = "4:6"\nepsilons = [0.002]\n'
        'time_limit = 60\n[[methods]]\nmethod = "corner"\noptions = { high = true }\n'
        '[[methods]]\nmethod = "milp"\nformulation = "looser"\n'
    )

    def bnnopt_command(*arguments: str) -> str:
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        run = subprocess.run(
            [sys.executable, "-m", "bnnopt", *arguments],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    store = str(tmp_path / "store")
    said = bnnopt_command("campaign", "run", str(spec), "--store", store, "--workers", workers)
    assert said.startswith("4 cells: 4 done")
    assert bnnopt_command("campaign", "check", store).startswith("4 results replayed: no mism")
    question = ("fashion-mnist-2x100", "--images", "4:6", "--epsilon", "0.002", "--json", "-")
    lines = bnnopt_command("attack", *question, "--method", "corner", "--workers", workers)
    assert {json.loads(line)["method"] for line in lines.splitlines()} == {"corner"}
