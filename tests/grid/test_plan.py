"""The plan is the grid that was asked for, and each beginning of it is balanced."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from benchmarks.grid.__main__ import share
from benchmarks.grid.estimate import estimate
from benchmarks.grid.plan import ATTACK, BLOCKS, STAGES, Planned, load_stages, plan
from bnnopt.campaign.cell import Cell
from bnnopt.errors import InputError
from bnnopt.zoo import NAMES, ROBUST

EPSILONS = {0.005, 0.01, 0.02, 0.03, 0.05}


@pytest.fixture(scope="module")
def cells() -> list[Planned]:
    return plan(load_stages())


def of(cells: list[Planned], attack: str) -> list[Planned]:
    return [each for each in cells if each.attack == attack]


@pytest.mark.parametrize(
    "attack",
    ["FGSM", "iterated FGSM", "PGD", "auto", "branch and bound", "pattern search", "IProp, aware"],
)
def test_methods_of_seconds_have_100_images_of_every_network_and_epsilon(
    cells: list[Planned], attack: str
) -> None:
    settings = Counter((each.network.name, each.cell.epsilon) for each in of(cells, attack))
    grid = [name for name in NAMES if name not in ROBUST]
    assert set(settings) == {(name, epsilon) for name in grid for epsilon in EPSILONS}
    assert set(settings.values()) == {100}


def test_slow_methods_have_the_images_that_were_asked_for(cells: list[Planned]) -> None:
    for attack, networks, epsilons, images in (
        ("IProp", 16, 5, 20),
        ("IProp, steps of 5", 4, 2, 20),
        ("IProp, steps of 20", 4, 2, 20),
        ("IProp from FGSM", 4, 2, 20),
        ("MILP, paper", 8, 3, 10),
    ):
        mine = of(cells, attack)
        assert len({each.network.name for each in mine}) == networks, attack
        assert len({each.cell.epsilon for each in mine}) == epsilons, attack
        assert {each.cell.image for each in mine} == set(range(images)), attack
    solvers = {each.cell.solver for each in of(cells, "MILP, paper")}
    assert solvers == {"highs", "gurobi"}


def test_ties_are_no_flips_and_limits_are_those_said(cells: list[Planned]) -> None:
    assert {each.cell.ties for each in cells} == {"never"}
    limits = {stage: {c.cell.time_limit for c in cells if c.stage == stage} for stage in STAGES}
    assert limits["ours"] == {10.0}
    assert limits["iprop"] == limits["variants"] == limits["milp"] == {30.0}
    assert limits["longer"] == {180.0}


def test_the_papers_milp_fits_gurobis_limited_licence(cells: list[Planned]) -> None:
    # 784 pixels, a pre-activation and an activation a neuron, two logits; three rows a neuron.
    for network in {each.network.name: each.network for each in of(cells, "MILP, paper")}.values():
        neurons = sum(network.widths)
        assert network.num_inputs + 2 * neurons + 2 <= 2000
        assert 3 * neurons + 2 <= 2000


def test_every_key_is_a_cells_own(cells: list[Planned]) -> None:
    assert len({each.key for each in cells}) == len(cells)
    attacks = [each for each in cells if STAGES[each.stage] == ATTACK]
    assert all(each.cell.key.startswith(each.key) for each in attacks)


def test_every_beginning_has_all_settings_of_a_stage_within_one_image(
    cells: list[Planned],
) -> None:
    settings: dict[str, set[tuple[object, ...]]] = defaultdict(set)

    def setting(each: Planned) -> tuple[object, ...]:
        return each.attack, each.cell.solver, each.network.name, each.cell.epsilon

    for each in cells:
        settings[each.stage].add(setting(each))
    done: dict[str, Counter[tuple[object, ...]]] = defaultdict(Counter)
    least: Counter[tuple[str, int]] = Counter()
    for each in cells:
        stage, place = each.stage, setting(each)
        assert each.cell.image == done[stage][place]
        if each.cell.image > 0:  # all settings have had the image before
            assert least[stage, each.cell.image - 1] == len(settings[stage])
        done[stage][place] += 1
        least[stage, each.cell.image] += 1


def test_no_stage_goes_beyond_a_block_before_all_have_it_and_cheap_ones_begin(
    cells: list[Planned],
) -> None:
    first = [each.stage for each in cells if each.cell.image < BLOCKS[0]]
    assert first == sorted(first, key=list(STAGES).index)
    assert all(each.cell.image < BLOCKS[0] for each in cells[: len(first)])
    assert set(first) == set(STAGES)


def test_shares_of_machines_are_all_cells_once(cells: list[Planned]) -> None:
    parts = [share(cells, f"{part}/3") for part in (1, 2, 3)]
    assert sorted(each.key for part in parts for each in part) == sorted(e.key for e in cells)
    assert all(parts)
    for wrong in ("0/2", "3/2", "1", "a/b", ""):
        with pytest.raises(InputError, match="1/N to N/N"):
            share(cells, wrong)


def test_an_estimate_takes_what_was_measured_and_else_the_limit(cells: list[Planned]) -> None:
    mine = [each for each in of(cells, "IProp") if each.network.name == NAMES[0]]
    mine = [each for each in mine if each.cell.epsilon == 0.01]
    (row,) = estimate(mine, {})
    assert (row["cells"], row["left"], row["guessed"]) == (20, 20, 20)
    assert row["core-hours left"] == pytest.approx(20 * 30.05 / 3600)
    (row,) = estimate(mine, {mine[0].key: {"key": mine[0].key, "seconds": 3.55}})
    assert (row["left"], row["guessed"]) == (19, 0)
    assert row["core-hours left"] == pytest.approx(19 * 3.6 / 3600)


def test_a_cell_is_what_a_campaign_has(cells: list[Planned]) -> None:
    for each in cells[:: len(cells) // 50]:
        assert Cell.from_definition(each.cell.definition) == each.cell
