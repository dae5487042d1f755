"""The rows that decomposition adds: they cut off patterns without a point, and no others."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
from bnnopt import AttackInstance, Status
from bnnopt.attacks.base import Limits
from bnnopt.attacks.exact_cell import CellVerdict
from bnnopt.attacks.milp import MilpAttack, decomposition
from bnnopt.attacks.milp.decomposition import Decomposition
from bnnopt.attacks.reachability import Reach
from bnnopt.formulations.attack import attack_model
from bnnopt.formulations.names import STRENGTHENINGS
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)
domains: Any = st.sampled_from(["continuous", "pixels"])


class Setting:
    """A decomposition before its first step, and every pattern with its slack."""

    def __init__(self, seed: int, domain: Any, strengthen: tuple[str, ...] = (), **options: Any):
        network = random_network(seed, inputs=5, widths=(5, 3), levels=5)
        self.instance = AttackInstance(
            network, random_image(network, seed), "2/5", domain=domain, **options
        )
        adapter = solvers.get("highs")
        self.work = Decomposition(self.instance, adapter, Limits(seed=seed), strengthen)
        self.flips = self.work._flips
        self.model = attack_model(self.instance, "tight", strengthen, with_pixels=False)
        self.work._model = self.model
        self.k = len(self.flips.neurons)
        self.patterns = [np.array(p) for p in product((False, True), repeat=self.k)]

    def reach(self, flipped: np.ndarray) -> Reach:
        return self.work._test(self.work._signs(flipped))

    def kept(self, flipped: np.ndarray) -> bool:
        """Whether the rows over flips allow a pattern."""
        for at, j in enumerate(self.flips.neurons.tolist()):
            self.model.h[1, j].set_value(int((self.flips.signs[at] > 0) != flipped[at]))
        return all(row.slack() >= -1e-9 for row in self.model.conflicts.values())


@settings(max_examples=30)
@given(seed=seeds, domain=domains)
def test_cuts_leave_every_pattern_that_has_a_point(seed: int, domain: Any) -> None:
    setting = Setting(seed, domain)
    work, rng = setting.work, np.random.default_rng(seed)
    if setting.k < 2:
        return
    with ExitStack() as work._resources:
        slacks = [setting.reach(p).slack for p in setting.patterns]
        bad = [
            p for p, s in zip(setting.patterns, slacks, strict=True) if s is not None and s < -1e-3
        ]
        rng.shuffle(bad)
        for flipped in bad[:3]:
            reached = setting.reach(flipped)
            members = work._minimal(flipped, reached)
            only = np.isin(np.arange(setting.k), members)
            signs = np.where(only, work._signs(flipped), 0).astype(np.int8)
            assert setting.work._flips.refutes(flipped, work._test(signs).multipliers)
            for j in members:  # none of its parts is refuted
                fewer = signs.copy()
                fewer[j] = 0
                assert not work._flips.refutes(flipped, work._test(fewer).multipliers)
            assert work._cut_off(flipped, reached)
            assert not setting.kept(flipped)
        for flipped, slack in zip(setting.patterns, slacks, strict=True):
            assert slack is not None
            if slack > 1e-6:
                assert setting.kept(flipped)
                assert not work._cut_off(flipped, setting.reach(flipped))


@settings(max_examples=60)
@given(seed=seeds)
def test_a_conflict_is_widened_where_all_of_its_size_conflict(seed: int) -> None:
    setting = Setting(seed, "continuous")
    flips = setting.flips
    for size in range(2, setting.k + 1):
        for members in map(list, combinations(range(setting.k), size)):
            if not flips.are_conflicts(np.array([members]))[0]:
                continue
            widened = setting.work._widened(members)
            assert set(members) <= set(widened)
            assert widened == sorted(set(widened))
            for others in combinations(widened, size):
                assert flips.are_conflicts(np.array([others]))[0]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(decomposition, "LARGEST_SET", size)
                assert setting.work._widened(members) == members
                patch.setattr(decomposition, "LARGEST_LIFTED", size - 1)
                assert setting.work._widened(members) == members


@settings(max_examples=60)
@given(seed=seeds)
def test_a_cut_is_of_its_members_only(seed: int) -> None:
    setting = Setting(seed, "continuous")
    rng = np.random.default_rng(seed)
    if setting.k == 0:
        return
    flipped = rng.random(setting.k) < 0.6
    members = np.flatnonzero(rng.random(setting.k) < 0.6).tolist() or [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decomposition, "LARGEST_LIFTED", 0)  # not widened
        setting.work._add_cut(members, flipped)
        setting.work._add_cut(members, flipped)
    assert len(setting.model.conflicts) == (1 if flipped[members].all() else 2)
    for pattern in setting.patterns:
        assert setting.kept(pattern) == bool((pattern[members] != flipped[members]).any())


@settings(max_examples=60)
@given(seed=seeds, domain=domains, goal=st.sampled_from(["margin", "flip"]))
def test_a_pattern_has_the_margin_of_its_points_and_is_wanted_if_it_is_better(
    seed: int, domain: Any, goal: str
) -> None:
    setting = Setting(seed, domain, goal=goal)
    work, instance = setting.work, setting.instance
    low, high = instance.point_box
    rng = np.random.default_rng(seed)
    for z in [instance.snap(z) for z in rng.uniform(low, high, (12, 5))]:
        signs = instance.network.hidden[0](z[None])[0]
        flipped = signs[setting.flips.neurons] != setting.flips.signs
        margin = float(instance.margins(z[None])[0])
        assert work._margin(flipped) == margin
        is_flip = bool(instance.are_flips(z[None])[0])
        if goal == "margin":
            assert work._is_wanted(flipped) == (margin > work._best[0])
        else:
            assert work._is_wanted(flipped) == (is_flip and not np.isfinite(work._best[0]))
        before, told = work._best, len(work._findings.trace)
        work._offer(z)
        assert work._best == max(before, instance.rank(z))
        assert len(work._findings.trace) == told + (instance.rank(z) > before)
        if instance.rank(z) > before:
            assert work._findings.points.tolist() == [z.tolist()]


def test_what_the_solver_has_is_read_as_flips() -> None:
    setting = Setting(5, "continuous")
    for flipped in setting.patterns:
        for at, j in enumerate(setting.flips.neurons.tolist()):
            setting.model.h[1, j].set_value(0.999 * ((setting.flips.signs[at] > 0) != flipped[at]))
        assert (setting.work._pattern() == flipped).all()
        signs = setting.work._signs(flipped)
        assert (signs == np.where(flipped, -setting.flips.signs, setting.flips.signs)).all()


def settled(most_slack: float | None, has_point: bool, wanted: bool) -> tuple[bool, int]:
    """What comes of a pattern in whole levels, by what the MILP says; and the rows added."""
    setting = Setting(5, "pixels")
    work, image = setting.work, setting.instance.levels
    rows = len(setting.model.conflicts)

    class Whole:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __enter__(self) -> Whole:
            return self

        def __exit__(self, *_: Any) -> None:
            pass

        def test(self, *_: Any) -> Reach:
            return Reach(None, image if has_point else None, np.zeros(setting.k), most_slack)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decomposition, "Reachability", Whole)
        patch.setattr(work, "_is_wanted", lambda _: wanted)
        ends = work._settle_pixels(np.zeros(setting.k, dtype=bool))
    return ends, len(setting.model.conflicts) - rows


@pytest.mark.parametrize("has_point", [True, False])
@pytest.mark.parametrize(
    ("most_slack", "wanted", "expected"),
    [
        (-1.0, True, (False, 1)),  # no image of whole levels: cut off
        (-0.6, True, (False, 1)),
        (-0.4, True, (True, 0)),
        (0.0, True, (True, 0)),
        (None, True, (True, 0)),  # the solver was stopped
        (0.0, False, (True, 0)),  # its point, or another, is as good
        (-1.0, False, (True, 0)),
    ],
)
def test_a_pattern_is_cut_off_only_if_no_whole_levels_have_it(
    has_point: bool, most_slack: float | None, wanted: bool, expected: tuple[bool, int]
) -> None:
    assert settled(most_slack, has_point, wanted) == expected


@pytest.mark.parametrize("refuted", [True, False])
@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_pattern_on_thresholds_is_open_unless_it_is_refuted(
    refuted: bool, near: bool, wanted: bool
) -> None:
    setting = Setting(5, "continuous")
    work, image, rows = setting.work, setting.instance.levels, len(setting.model.conflicts)
    flipped = np.zeros(setting.k, dtype=bool)

    verdict = CellVerdict(refuted, None if refuted or not near else image)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decomposition, "settle_cell", lambda *_: verdict)
        patch.setattr(work, "_is_wanted", lambda _: wanted)
        ends = work._settle_exactly(flipped)
    added = len(setting.model.conflicts) - rows
    assert ends == (not refuted and not wanted)
    assert added == (0 if ends else 1)
    assert setting.kept(flipped) == ends
    is_open = not refuted and wanted
    assert work._closed == (work._margin(flipped) if is_open else -np.inf)
    assert bool(work._findings.notes) == is_open


@settings(max_examples=40)
@given(
    seed=seeds,
    domain=domains,
    strengthen=st.sampled_from([(), STRENGTHENINGS]),
    goal=st.sampled_from(["margin", "flip"]),
)
def test_it_ends_with_what_the_whole_model_says(
    seed: int, domain: Any, strengthen: tuple[str, ...], goal: str
) -> None:
    setting = Setting(seed, domain, goal=goal)
    told: list[float] = []
    limits = Limits(on_incumbent=lambda _, margin: told.append(margin))
    ours = MilpAttack(strengthen=strengthen)(setting.instance, limits)
    whole = MilpAttack(formulation="paper", decompose=False)(setting.instance)
    assert ours.message == whole.message == ""
    assert ours.flipped >= whole.flipped or domain == "continuous"
    if domain == "pixels":
        assert ours.status is whole.status
        assert goal == "flip" or ours.objective == whole.objective
    if ours.status is Status.INFEASIBLE or whole.status is Status.INFEASIBLE:
        assert not ours.flipped
        assert not whole.flipped
    assert ours.bound is None or ours.bound >= ours.objective
    if ours.objective > ours.start_objective and goal == "margin":
        assert told[-1] == ours.objective
    few = MilpAttack(strengthen=strengthen)(setting.instance, Limits(effort=1))
    assert few.status is not Status.ERROR
    assert few.bound is None or few.bound >= ours.objective or goal == "flip"


@pytest.mark.parametrize("goal", ["margin", "flip"])
@pytest.mark.parametrize("termination", ["error", "interrupted", "time_limit", "infeasible"])
def test_a_solver_that_stops_ends_the_search_and_proves_what_it_proved(
    goal: str, termination: str
) -> None:
    setting = Setting(5, "continuous", goal=goal)
    calls = []

    class Stopped:
        name = "stopped"

        def solve(self, *_: Any) -> solvers.SolveResult:
            calls.append(termination)
            assert len(calls) < 4
            reason = solvers.Termination(termination)
            return solvers.SolveResult(reason, interrupted=termination == "interrupted", nodes=2)

    adapter: Any = Stopped()
    found = Decomposition(setting.instance, adapter, Limits(), ()).run()
    # Out of the early share of its time, it gets the rest.
    assert len(calls) == (2 if termination == "time_limit" else 1)
    assert found.iterations == 2 * len(calls)
    assert found.no_flip == (goal == "flip" and termination == "infeasible")
    assert found.interrupted == (termination == "interrupted")
    assert bool(found.message) == (termination == "error")
    most = float(setting.model.largest_margin) * setting.instance.of_margins.unit
    assert found.bound is not None
    if not found.no_flip:
        assert found.bound == most


def test_what_a_refutation_needs_is_what_has_more_than_a_trace_of_its_multipliers() -> None:
    for size in (1e-7, 1.0, 1e7):
        multipliers = size * np.array([1.0, 0.0, 1e-8, 1e-10])
        support = decomposition._support(Reach(-1.0, None, multipliers))
        assert support.tolist() == [True, False, True, False]
