from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bnnopt.attacks import METHODS
from bnnopt.campaign.cell import Cell
from bnnopt.campaign.spec import load_spec, parse_spec
from bnnopt.cli.images import parse_indices
from bnnopt.errors import InputError
from bnnopt.network import fingerprint
from bnnopt.zoo import load
from tests.helpers import random_network

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGNS, DOCUMENT = ROOT / "campaigns", ROOT / "docs" / "campaigns.md"
RIGHT: dict[str, str] = {
    "networks": '["fashion-mnist-2x100", "mnist-3x100"]',
    "images": '"0:3,7"',
    "epsilons": "[0.001, 0.01]",
    "seeds": "[0, 1]",
    "time_limit": "5",
    "methods": '[{method = "milp"}, {name = "paper", method = "milp", formulation = "paper"}]',
}


def text(**changes: str | None) -> str:
    values: dict[str, Any] = RIGHT | changes
    return "\n".join(f"{key} = {value}" for key, value in values.items() if value is not None)


def test_a_spec_is_its_whole_grid_and_every_cell_has_a_key_of_its_own() -> None:
    spec = parse_spec(text())
    cells = [planned.cell for planned in spec.cells()]
    assert len(cells) == 2 * 4 * 2 * 2 * 2
    assert len({cell.key for cell in cells}) == len(cells)
    assert {cell.image for cell in cells} == {0, 1, 2, 7}
    assert {cell.time_limit for cell in cells} == {5.0}


def test_a_cell_is_the_same_after_a_round_trip_and_whatever_the_spelling_of_the_spec() -> None:
    first = next(iter(parse_spec(text()).cells())).cell
    assert Cell.from_definition(first.definition) == first
    again = parse_spec("domain = 'continuous'\n" + text(time_limit="5.0", threads="1"))
    assert next(iter(again.cells())).cell.key == first.key


@pytest.mark.parametrize(
    "change", [{"time_limit": "6"}, {"seeds": "[3]"}, {"domain": '"pixels"'}, {"threads": "2"}]
)
def test_whatever_defines_a_cell_changes_its_key(change: dict[str, str]) -> None:
    before = {planned.cell.key for planned in parse_spec(text()).cells()}
    after = {planned.cell.key for planned in parse_spec(text(**change)).cells()}
    assert not before & after


def test_a_network_is_known_by_what_it_computes_and_not_by_its_name(tmp_path: Path) -> None:
    network = load("fashion-mnist-2x100")
    network.save(tmp_path / "copy.npz")
    spec = parse_spec(text(networks='["copy.npz"]'), folder=tmp_path)
    assert list(spec.networks) == [fingerprint(network)]
    assert fingerprint(network) != fingerprint(load("fashion-mnist-2x200"))


METHOD = '[{{method = "milp", {}}}]'
MISTAKES: dict[str, tuple[dict[str, str | None], str]] = {
    "not TOML": ({"images": '"0:3'}, "is not TOML"),
    "missing key": ({"networks": None}, "networks is missing: give an array"),
    "unknown key": ({"epsilon": "0.1"}, "epsilon is no key (did you mean 'epsilons'?)"),
    "wrong type": ({"images": "5"}, "images must be a string, not 5"),
    "number as text": ({"epsilons": '["a tenth"]'}, "epsilons[0]: epsilon must be a number"),
    "truth as number": ({"epsilons": "[true]"}, "epsilons[0] must be a value, not True"),
    "empty array": ({"epsilons": "[]"}, "epsilons is empty"),
    "repeated value": ({"epsilons": "[0.1, 0.1]"}, "epsilons[1] repeats 0.1"),
    "unknown network": ({"networks": '["mnist-2x10"]'}, "networks[0]: unknown network"),
    "missing file": ({"networks": '["nowhere.npz"]'}, "nowhere.npz does not exist"),
    "network without data": ({"networks": '["bare.npz"]'}, "networks[0]: bare.npz names no data"),
    "image out of range": ({"images": '"9990:10001"'}, "images: image 10000 does not exist"),
    "epsilon out of range": (
        {"epsilons": "[0.1, 1.5]"},
        "epsilons[1]: epsilon must be a number from",
    ),
    "epsilon not a number": (
        {"epsilons": "[nan]"},
        "epsilons[0]: epsilon must be a number such",
    ),
    "negative seed": ({"seeds": "[-1]"}, "seeds: seed must be a whole number from 0"),
    "no threads": ({"threads": "0"}, "threads: threads must be a whole number, at least 1"),
    "no time": ({"time_limit": "0"}, "time_limit: time_limit must be a finite number"),
    "endless time": (
        {"time_limit": "inf"},
        "time_limit: time_limit must be a finite number",
    ),
    "unknown target": ({"target": '"second"'}, "target: unknown target 'second'"),
    "target out of range": ({"target": "10"}, "target: target must be a class number from 0 to 9"),
    "target of a wrong type": ({"target": "1.5"}, "target must be a name or a class"),
    "unknown rule on ties": ({"ties": '"lowst"'}, "unknown ties 'lowst' (did you mean 'lowest'?)"),
    "no effort": ({"effort": "0"}, "effort: effort must be a whole number from 1"),
    "unknown domain": ({"domain": '"pixel"'}, "domain: unknown domain 'pixel' (did you mean"),
    "unknown goal": ({"goal": '"l7"'}, "goal: unknown goal 'l7'"),
    "no methods": ({"methods": None}, "methods is missing"),
    "methods not tables": ({"methods": '["milp"]'}, "methods[0] must be a table"),
    "unknown method": ({"methods": '[{method = "mlip"}]'}, "methods[0].method: unknown method"),
    "unknown start": ({"methods": METHOD.format('start = "fgs"')}, "methods[0].start: unknown"),
    "unknown solver": ({"methods": METHOD.format('solvers = ["hgs"]')}, "methods[0].solvers: "),
    "unknown default solver": ({"solvers": '["higs"]'}, "solvers: unknown solver 'higs'"),
    "unknown formulation": (
        {"methods": METHOD.format('formulation = "tigt"')},
        "methods[0].formulation: unknown formulation 'tigt' (did you mean 'tight'?)",
    ),
    "unknown option": (
        {"methods": METHOD.format("options = {decompos = true}")},
        "methods[0].options.decompos: unknown option 'decompos' (did you mean 'decompose'?)",
    ),
    "option of a wrong type": (
        {"methods": METHOD.format('options = {decompose = "yes"}')},
        "methods[0].options.decompose must be of type bool, not 'yes'",
    ),
    "option of a wrong value": (
        {"methods": METHOD.format('options = {strengthen = ["flip"]}')},
        "methods[0].options: unknown strengthening 'flip'",
    ),
    "option that is no JSON": (
        {"methods": METHOD.format("options = {strengthen = [inf]}")},
        "methods[0].options.strengthen must be a finite number",
    ),
    "option with a key of its own": (
        {"methods": METHOD.format('options = {solver = "highs"}')},
        "methods[0].options.solver: give it as solvers beside options",
    ),
    "unknown key of a method": (
        {"methods": METHOD.format("timelimit = 3")},
        "methods[0].timelimit is no key (did you mean 'time_limit'?)",
    ),
    "name taken": ({"methods": '[{method = "milp"}, {method = "milp"}]'}, "methods[1].name 'milp'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_by_its_key_in_one_line(mistake: str, tmp_path: Path) -> None:
    random_network(0).save(tmp_path / "bare.npz")
    change, message = MISTAKES[mistake]
    (tmp_path / "grid.toml").write_text(text(**change))
    with pytest.raises(InputError) as complaint:
        load_spec(tmp_path / "grid.toml")
    assert message in str(complaint.value)
    assert str(complaint.value).startswith("grid.toml")


def test_a_missing_spec_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a spec"):
        load_spec(tmp_path / "none.toml")


def test_the_smoke_campaign_is_at_most_two_minutes_on_two_workers() -> None:
    cells = [planned.cell for planned in load_spec(CAMPAIGNS / "smoke.toml").cells()]
    assert sum(cell.time_limit for cell in cells) / 2 <= 120


def test_the_documented_spec_is_a_spec(tmp_path: Path) -> None:
    pytest.importorskip("pyscipopt")
    load("mnist-2x100").save(tmp_path / "mine.npz")
    (text,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    spec = parse_spec(text, folder=tmp_path)
    assert len(list(spec.cells())) == 2 * 100 * 2 * 2


@pytest.mark.skipif(
    not {"iprop", "fgsm", "ifgsm", "pattern", "bab", "auto"} <= set(METHODS),
    reason="methods that the paper's campaign names are not in this version",
)
def test_the_papers_campaign_is_the_papers_grid() -> None:
    spec = load_spec(CAMPAIGNS / "paper.toml")
    assert len(spec.networks) == 16
    assert spec.images == tuple(parse_indices("0:100", 10_000))
    assert spec.epsilons == (0.005, 0.01, 0.02, 0.03, 0.05)
    assert {method.time_limit for method in spec.methods} == {180.0}
