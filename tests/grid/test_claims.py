"""Numbers of made-up lines are what a hand computes, and verdicts follow their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.grid.claim import Claim, Lines, above, always, never, slug
from benchmarks.grid.claims import claims
from benchmarks.grid.frame import common, truth
from benchmarks.grid.intervals import bootstrap
from bnnopt.report.bootstrap import mean_interval
from tests.grid.made import Row, attack, made, model, proof


def by_name(lines: Lines) -> dict[str, Claim]:
    found = claims(lines)
    assert len({claim.claim for claim in found}) == len(found)
    return {claim.claim: claim for claim in found}


def pairs(one: str, other: str, leads: list[float], **where: object) -> list[Row]:
    """Two series, the first ahead by so much on images 0, 1, ..."""
    rows = []
    for image, ahead in enumerate(leads):
        rows += [attack(one, -50.0 + ahead, image, **where), attack(other, -50.0, image, **where)]
    return rows


def test_a_bootstrap_of_one_column_is_the_reports_own() -> None:
    values = np.random.default_rng(3).normal(size=25)
    value, low, high = bootstrap(values[:, None], [0] * 25, lambda means: means[:, 0])
    mean, least, most = mean_interval(values)
    assert value == pytest.approx(float(mean))
    assert low == pytest.approx(float(least), abs=0.02)
    assert high == pytest.approx(float(most), abs=0.02)


def test_images_are_drawn_from_their_own_data_set() -> None:
    # All of the spread is between the data sets, of which each sample has as many as there are.
    values = np.array([[0.0], [0.0], [1.0], [1.0]])
    found = bootstrap(values, ["a", "a", "b", "b"], lambda means: means[:, 0])
    assert found == (0.5, 0.5, 0.5)
    _, low, high = bootstrap(values, ["a"] * 4, lambda means: means[:, 0])
    assert low < 0.5 < high


def test_a_missing_value_counts_for_nothing() -> None:
    values = np.array([[1.0, np.nan], [3.0, 5.0]])
    assert bootstrap(values, [0, 0], lambda means: means[:, 1])[0] == 5.0
    assert bootstrap(values, [0, 0], lambda means: means[:, 0])[0] == 2.0


def test_an_interval_may_end_at_never() -> None:
    found = bootstrap(np.zeros((3, 1)), [0] * 3, lambda means: np.full(len(means), np.inf))
    assert found == (np.inf, np.inf, np.inf)


def test_verdicts_follow_the_interval() -> None:
    assert above(0.5)((0.7, 0.6, 0.8)) == "yes"
    assert above(0.5)((0.3, 0.2, 0.5)) == "no"
    assert above(0.5)((0.6, 0.4, 0.8)) == "open"
    assert always((1.0, 1.0, 1.0)) == "yes" and always((0.99, 0.9, 1.0)) == "no"
    assert never((0.0, 0.0, 0.0)) == "yes" and never((0.01, 0.0, 0.1)) == "no"


def test_leads_are_means_over_images_that_both_have() -> None:
    rows = pairs("IProp", "iterated FGSM", [10.0, 20.0, 30.0], network="mnist-2x200")
    rows.append(attack("IProp", 90.0, 7, network="mnist-2x200"))
    found = by_name(made(rows))["iprop-over-iterated-fgsm-shallow"]
    assert found.value == pytest.approx(0.2)
    assert 0.09 < found.low < found.value < found.high < 0.31
    assert (found.images, found.cells, found.holds) == (3, 3, "yes")
    assert "iprop-over-iterated-fgsm-deep" not in by_name(made(rows))


def test_depth_decides_what_is_deep_and_a_loss_is_a_no() -> None:
    rows = pairs("IProp", "iterated FGSM", [-10.0, -20.0], network="mnist-3x100")
    rows += pairs("IProp", "iterated FGSM", [5.0, 5.0], network="mnist-2x500")
    found = by_name(made(rows))
    assert found["iprop-over-iterated-fgsm-deep"].value == pytest.approx(-0.15)
    assert found["iprop-over-iterated-fgsm-deep"].holds == "no"
    assert found["iprop-over-iterated-fgsm-shallow"].holds == "yes"
    settings = found["iprop-over-iterated-fgsm-settings"]
    assert (settings.value, settings.holds) == (0.5, "no")


def test_what_pgd_does_is_a_number_and_no_claim_of_the_paper() -> None:
    found = by_name(made(pairs("IProp", "PGD", [-1.0, -2.0])))["iprop-over-pgd-settings"]
    assert (found.value, found.paper, found.holds) == (0.0, "", "")


def test_one_model_that_is_not_proved_refutes_always() -> None:
    series = "MILP, paper (gurobi)"
    rows = [attack(series, -5, image, proved=int(image > 0), wall_time=4.0) for image in range(4)]
    found = by_name(made(rows))
    assert (found["milp-proves-gurobi"].value, found["milp-proves-gurobi"].holds) == (0.75, "no")
    assert found["milp-seconds-gurobi"].value == 4.0
    assert "milp-proves-highs" not in found
    rows = [row | {"proved": 1} for row in rows]
    assert by_name(made(rows))["milp-proves-gurobi"].holds == "yes"


def test_close_to_the_milp_is_asked_of_small_networks_and_epsilons_only() -> None:
    series = "MILP, paper (highs)"
    rows = pairs("IProp", series, [-4.0, -2.0], epsilon=0.005)
    rows += pairs("IProp", series, [-40.0, -40.0], epsilon=0.02)
    rows += pairs("IProp", series, [10.0, 12.0], network="mnist-2x200")
    found = by_name(made(rows))
    near, over = found["iprop-near-milp-highs"], found["iprop-over-milp-highs"]
    assert (near.value, near.holds) == (pytest.approx(-0.03), "yes")
    assert (over.value, over.holds) == (pytest.approx(0.11), "yes")


def test_the_lead_at_small_epsilon_is_less_the_lead_at_large() -> None:
    rows = []
    for epsilon, ahead in ((0.005, 9.0), (0.01, 7.0), (0.02, 90.0), (0.03, 2.0), (0.05, 4.0)):
        rows += pairs("IProp", "iterated FGSM", [ahead, ahead], epsilon=epsilon)
    found = by_name(made(rows))["iprop-lead-at-small-epsilon"]
    assert (found.value, found.holds, found.images) == (pytest.approx(0.05), "yes", 2)


def test_passing_is_when_the_mean_curve_stays_above() -> None:
    rows = [
        attack("IProp", -10.0, trace="[[2.0, -60.0], [6.0, -10.0]]"),
        attack("iterated FGSM", -50.0, trace="[[1.0, -70.0], [3.0, -50.0]]"),
    ]
    found = by_name(made(rows))["iprop-passes-ifgsm"]
    assert 6.0 <= found.value <= 6.5 and found.holds == "yes"
    rows[1] |= {"trace": "[[1.0, -5.0]]"}
    never_passes = by_name(made(rows))["iprop-passes-ifgsm"]
    assert never_passes.value == np.inf and never_passes.holds == "no"


def test_iterated_fgsm_stops_where_it_ends_before_its_limit() -> None:
    rows = [
        attack("iterated FGSM", -5.0, 0, wall_time=2.0, trace="[[0.1, -9.0], [1.5, -5.0]]"),
        attack("iterated FGSM", -5.0, 1, wall_time=30.0, trace="[[0.5, -5.0]]"),
    ]
    found = by_name(made(rows))
    assert found["ifgsm-last-improvement"].value == pytest.approx(1.0)
    assert found["ifgsm-stops"].value == 0.5


def test_adaptive_steps_are_compared_with_the_best_constant_ones() -> None:
    rows = pairs("IProp", "IProp, steps of 5", [1.0, 1.0])
    rows += [attack("IProp, steps of 20", -45.0, image) for image in range(2)]
    found = by_name(made(rows))["adaptive-near-best"]
    assert (found.value, found.holds) == (pytest.approx(-0.04), "no")
    assert "steps of 20" in found.measured


def test_a_start_from_fgsm_is_counted_in_flips() -> None:
    rows = [attack("IProp", -5.0, image) for image in range(4)]
    rows += [attack("IProp from FGSM", 5.0 if image else -9.0, image) for image in range(4)]
    found = by_name(made(rows))
    assert (found["fgsm-start-flips"].value, found["fgsm-start-flips"].holds) == (0.75, "yes")


def test_what_solvers_claim_at_ties_is_compared_with_the_network() -> None:
    models = [
        model("highs", 18.0, -2.0, image=0),
        model("gurobi", 18.0, 18.0, image=0),
        model("highs", -4.0, -4.0, image=1),
    ]
    found = by_name(made([proof(10.0, image=0), proof(-4.0, image=1)], models))
    assert found["milp-points-true"].value == pytest.approx(0.75)
    assert found["milp-false-flips"].value == pytest.approx(0.25)
    assert found["milp-optimum-true"].value == pytest.approx(0.5)
    assert {found[name].holds for name in ("milp-points-true", "milp-false-flips")} == {"no"}


def test_the_truth_is_the_best_of_all_with_the_proofs_of_all() -> None:
    rows = [
        proof(-20.0, image=0),
        attack("branch and bound", -8.0, image=1, bound=4.0),
        attack("IProp, aware", 2.0, image=1),
        attack("IProp", -50.0, image=0),
        attack("IProp", -30.0, image=1),
    ]
    lines = made(rows)
    table = lines.known.set_index("image")
    assert list(table["best"]) == [-20.0, 2.0]
    assert list(table["proved"]) == [1, 0] and list(table["certified"]) == [1, 0]
    found = by_name(lines)
    assert found["truth-proved"].value == found["truth-certified"].value == 0.5
    assert found["truth-flipped"].value == 0.5
    assert found["gap-iprop"].value == pytest.approx(0.3) and found["gap-iprop"].cells == 1
    assert found["contradictions"].holds == found["replayed"].holds == "yes"


def test_a_bound_below_a_point_and_a_failed_replay_do_not_go_unnoticed() -> None:
    found = by_name(made([proof(-20.0), attack("PGD", -10.0)]))
    assert (found["contradictions"].value, found["contradictions"].holds) == (1.0, "no")
    lines = made([proof(-20.0), attack("PGD", -10.0, verified=0)])
    assert by_name(lines)["replayed"].holds == "no"
    assert truth(lines.attacks)["best"].tolist() == [-20.0]


def test_a_longer_limit_is_compared_on_the_same_instances() -> None:
    rows = pairs("IProp, 180 s", "IProp", [5.0, 15.0])
    found = by_name(made(rows))
    assert found["longer-iprop-normalized"].value == pytest.approx(0.1)


def test_without_lines_there_is_no_claim() -> None:
    assert claims(Lines(pd.DataFrame(), pd.DataFrame())) == []


def test_figures_compare_methods_on_instances_that_all_have() -> None:
    frame = made([attack("a", 1, 0), attack("b", 2, 0), attack("a", 3, 1)]).attacks
    assert list(common(frame, ["a", "b"])["objective"]) == [1.0, 2.0]
    assert common(frame, ["a", "c"]).empty


def test_a_claims_name_says_the_series() -> None:
    assert slug("MILP, paper (highs)") == "milp-paper-highs"
