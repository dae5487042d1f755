"""Numbers beside the paper's claims: what its model means at ties, what limits hide, the truth."""

from __future__ import annotations

import pandas as pd

from benchmarks.grid.claim import Claim, Lines, always, claim_on, column, lead, never, slug
from benchmarks.grid.frame import INSTANCE
from benchmarks.grid.paper_claims import FGSM, FROM_FGSM, IFGSM, IPROP, MILPS, PGD

__all__ = ["limits", "milp_at_ties", "soundness", "the_truth"]

BAB = "branch and bound"
PUBLISHED = (FGSM, IFGSM, PGD, IPROP, FROM_FGSM, *MILPS.values())
LONGER = {
    "IProp, 180 s": IPROP,
    "MILP, paper, 180 s (highs)": MILPS["highs"],
    "MILP, paper, 180 s (gurobi)": MILPS["gurobi"],
    "branch and bound, 180 s": BAB,
}
TOLERANCE = 1e-4
"""Of a solver's objective; margins are whole."""


def milp_at_ties(lines: Lines) -> list[Claim]:
    """What solvers claim of the paper's model, beside what the network gives at their points."""
    if lines.models.empty:
        return []
    frame = lines.models[lines.models["attack"] == "paper"]
    points = frame[frame["real"].notna()]
    claimed, real = points["objective"].astype(float), points["real"].astype(float)
    points = points.assign(
        is_true=(claimed <= real + TOLERANCE).astype(float),
        is_false_flip=((claimed > TOLERANCE) & (real <= 0)).astype(float),
    )
    by_instance = points.groupby(INSTANCE)
    paper = "what the MILP finds is the network's margin"
    found = claim_on(
        "milp-points-true",
        paper,
        "share of the points of all solvers on the paper's model that have the margin claimed",
        by_instance["is_true"].mean(),
        judge=always,
    )
    found += claim_on(
        "milp-false-flips",
        paper,
        "share of these points that claim a flip and are none",
        by_instance["is_false_flip"].mean(),
        judge=never,
    )
    return found + _optima(lines, points, paper)


def _optima(lines: Lines, points: pd.DataFrame, paper: str) -> list[Claim]:
    """Optima of the paper's model beside those of the network, where both are proved."""
    if lines.attacks.empty:
        return []
    known = lines.known
    optimum = known[known["proved"] > 0].set_index(INSTANCE)["best"]
    claimed = points[points["proved"] > 0].groupby(INSTANCE)["objective"].max().astype(float)
    both = claimed.index.intersection(optimum.index)
    is_true = (claimed.loc[both] <= optimum.loc[both] + TOLERANCE).astype(float)
    return claim_on(
        "milp-optimum-true",
        paper,
        "share of the paper's models, solved to optimality, whose optimum is the network's",
        is_true,
        judge=always,
    )


def limits(lines: Lines) -> list[Claim]:
    """What 180 s find, and prove, beyond the usual limit."""
    found = []
    for longer, usual in LONGER.items():
        for value, what in (("normalized", "mean objective"), ("proved", "share proved")):
            found += claim_on(
                f"longer-{slug(usual)}-{value}",
                "",
                f"{what} of {usual}, 180 s less the usual limit",
                lead(lines, longer, usual, value),
            )
    return found


def the_truth(lines: Lines) -> list[Claim]:
    """What is known of the instances of branch and bound, and each published method's gap to it."""
    table = lines.known.set_index(INSTANCE)
    table = table.loc[table.index.isin(column(lines.attacks, BAB, "proved").index)]
    found = []
    for name, what in (
        ("proved", "share of the instances whose optimum is proved"),
        ("certified", "share of the instances proved to have no flip to the runner-up"),
        ("flipped", "share of the instances that any method flips"),
    ):
        found += claim_on(f"truth-{name}", "", what, table[name].astype(float))
    optimum, scale = table[table["proved"] > 0]["best"], table["scale"]
    for series in PUBLISHED:
        gap = (optimum - column(lines.attacks, series, "objective")) / scale
        found += claim_on(
            f"gap-{slug(series)}",
            "",
            f"mean gap of {series} to the proved optimum, in units of the largest margin",
            gap,
        )
    return found


def soundness(lines: Lines) -> list[Claim]:
    """Replays that agree: all; bounds below a replayed point: none. Else something is wrong."""
    found = claim_on(
        "replayed",
        "",
        "share of the attacks whose point is in the box and has the margin reported, exactly",
        lines.attacks.groupby(INSTANCE)["verified"].mean().astype(float),
        judge=always,
    )
    table = lines.known.set_index(INSTANCE)
    return found + claim_on(
        "contradictions",
        "",
        "share of the instances where a proved bound is below a replayed point",
        table["contradiction"].astype(float),
        judge=never,
    )
