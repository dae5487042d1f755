"""The claims of the paper's section 5, as numbers of the grid."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.grid.claim import (
    Claim,
    Lines,
    above,
    always,
    at,
    claim_on,
    column,
    counts,
    lead,
    no_claim,
    share_above,
    slug,
)
from benchmarks.grid.frame import CLUSTER, INSTANCE, common
from benchmarks.grid.intervals import bootstrap
from bnnopt.report.results import incumbents

__all__ = [
    "iprop_and_gradients",
    "iprop_and_milp",
    "milp_alone",
    "small_epsilon",
    "steps_and_starts",
    "when_they_stop",
]

FloatArray = npt.NDArray[np.float64]

IPROP, IFGSM, FGSM, PGD = "IProp", "iterated FGSM", "FGSM", "PGD"
MILPS = {"highs": "MILP, paper (highs)", "gurobi": "MILP, paper (gurobi)"}
FROM_FGSM, CONSTANT = "IProp from FGSM", ("IProp, steps of 5", "IProp, steps of 20")

CLOSE, NEAR = 0.05, 0.02
"""Of the largest margin: what counts as close to the MILP, and as near the best."""

NEARLY_ALL = 0.9
FEW_SECONDS = 10.0
EARLY = 0.95
"""An attack that ends before this share of its limit has stopped by itself."""

TIMES = np.geomspace(0.01, 30.0, 120)


def is_small(network: str) -> bool:
    """The paper's smallest."""
    return network.endswith("-2x100")


def is_deep(network: str) -> bool:
    """Three hidden layers or more."""
    return int(network.rsplit("-", 1)[-1].partition("x")[0]) > 2


def milp_alone(lines: Lines) -> list[Claim]:
    """On mnist-2x100 at 0.01: whether the MILP is proved, and how long that takes."""
    where = (lines.attacks["network"] == "mnist-2x100") & (lines.attacks["epsilon"] == 0.01)
    frame = lines.attacks[where]
    found = []
    for solver, series in MILPS.items():
        found += claim_on(
            f"milp-proves-{solver}",
            "the MILP is solved to optimality on every image of 2x100 at epsilon 0.01",
            f"share of mnist-2x100 at 0.01 that {solver} proves within its limit",
            column(frame, series, "proved"),
            judge=always,
        )
        found += claim_on(
            f"milp-seconds-{solver}",
            "that takes 27 s on average, with Gurobi",
            f"mean seconds of {solver} there; those that it does not prove end at the limit",
            column(frame, series, "wall_time"),
        )
    return found


def iprop_and_milp(lines: Lines) -> list[Claim]:
    """Close on small networks and epsilons, and ahead beyond."""
    found = []
    for solver, series in MILPS.items():
        ahead = lead(lines, IPROP, series, "normalized")
        found += claim_on(
            f"iprop-near-milp-{solver}",
            "IProp is close to the MILP on small networks and epsilons",
            f"mean normalized objective, IProp less the MILP on {solver}, 2x100 at 0.01 or less; "
            f"close is above {-CLOSE:g}",
            at(ahead, is_small, lambda epsilon: epsilon <= 0.01),
            judge=above(-CLOSE),
        )
        found += claim_on(
            f"iprop-over-milp-{solver}",
            "IProp goes beyond the MILP on larger networks",
            f"mean normalized objective, IProp less the MILP on {solver}, larger than 2x100",
            at(ahead, lambda network: not is_small(network)),
            judge=above(0.0),
        )
    return found


def iprop_and_gradients(lines: Lines) -> list[Claim]:
    """FGSM, iterated FGSM and PGD, which the seed does not compare with: settings, and depths."""
    found = []
    for other in (FGSM, IFGSM, PGD):
        ahead = lead(lines, IPROP, other, "normalized")
        paper = "" if other == PGD else f"IProp beats {other} on nearly all networks and epsilons"
        found += claim_on(
            f"iprop-over-{slug(other)}-settings",
            paper,
            f"share of networks and epsilons where IProp's mean objective is above that of {other}",
            ahead,
            share_above,
            above(NEARLY_ALL) if paper else no_claim,
        )
        for depth, wanted in (("two layers", False), ("three layers or more", True)):
            found += claim_on(
                f"iprop-over-{slug(other)}-{'deep' if wanted else 'shallow'}",
                paper,
                f"mean normalized objective, IProp less {other}, networks of {depth}",
                at(ahead, lambda network, wanted=wanted: is_deep(network) == wanted),  # type: ignore[misc]
                judge=above(0.0) if paper else no_claim,
            )
    return found


def small_epsilon(lines: Lines) -> list[Claim]:
    """The lead at the two smallest epsilons against that at the two largest."""
    ahead = lead(lines, IPROP, IFGSM, "normalized")
    epsilons = sorted(set(ahead.index.get_level_values("epsilon")))
    if len(epsilons) < 4:
        return []
    table = ahead.unstack("epsilon")
    more = table[epsilons[:2]].mean(axis=1) - table[epsilons[-2:]].mean(axis=1)
    by_instance = more.rename("lead").reset_index().assign(epsilon=0.0).set_index(INSTANCE)["lead"]
    return claim_on(
        "iprop-lead-at-small-epsilon",
        "IProp's lead over FGSM is largest at small epsilon",
        "mean lead of IProp over iterated FGSM in the normalized objective, at the two smallest "
        "epsilons less at the two largest",
        by_instance,
        judge=above(0.0),
    )


def when_they_stop(lines: Lines) -> list[Claim]:
    """Figure 4: when iterated FGSM has had its last improvement, and when IProp passes it."""
    frame = lines.attacks
    rows = frame[frame["series"] == IFGSM]
    last = [float(json.loads(str(trace) or "[]")[-1][0]) for trace in rows["trace"]]
    found = claim_on(
        "ifgsm-last-improvement",
        "iterated FGSM stops improving after about 30 s",
        "mean seconds until the last improvement of iterated FGSM",
        column(rows.assign(last=last), IFGSM, "last"),
    )
    early = (rows["wall_time"] < EARLY * rows["limit"]).astype(float)
    found += claim_on(
        "ifgsm-stops",
        "iterated FGSM stops improving",
        "share of the attacks of iterated FGSM that end by themselves before the limit",
        column(rows.assign(early=early), IFGSM, "early"),
        judge=above(NEARLY_ALL),
    )
    return found + _passing(common(frame, [IPROP, IFGSM]))


def _passing(frame: pd.DataFrame) -> list[Claim]:
    """Seconds from which IProp's mean curve stays above that of iterated FGSM."""
    if frame.empty:
        return []
    curves = pd.DataFrame([incumbents(row, TIMES) for _, row in frame.iterrows()], frame.index)
    sign = np.where(frame["series"] == IPROP, 2.0, -2.0)  # the mean of both is the difference
    ahead = curves.mul(sign, axis=0).groupby([frame[name] for name in CLUSTER]).mean()
    values = ahead.to_numpy(dtype=np.float64)
    result = bootstrap(values, list(ahead.index.get_level_values("dataset")), _stays_above)
    images, cells = counts(column(frame, IPROP, "normalized"))
    value, low, high = result
    return [
        Claim(
            "iprop-passes-ifgsm",
            "IProp passes iterated FGSM a few seconds in",
            "seconds from which IProp's mean normalized objective stays above that of iterated "
            f"FGSM; a few is {FEW_SECONDS:g} at most",
            value,
            low,
            high,
            images,
            cells,
            "yes" if high <= FEW_SECONDS else "no" if low > FEW_SECONDS else "open",
        )
    ]


def _stays_above(means: FloatArray) -> FloatArray:
    """The time from which differences, shape (samples, times), are above 0 to the end."""
    behind = means <= 0
    after = np.where(behind.any(axis=1), means.shape[1] - np.argmax(behind[:, ::-1], axis=1), 0)
    return np.append(TIMES, np.inf)[after]


def steps_and_starts(lines: Lines) -> list[Claim]:
    """Figures 5 and 6."""
    frame = lines.attacks
    means = {name: column(frame, name, "normalized").mean() for name in CONSTANT}
    best = max(means, key=lambda name: (not np.isnan(means[name]), means[name]))
    found = claim_on(
        "adaptive-near-best",
        "adaptive steps are best or near it",
        f"mean normalized objective, adaptive steps less the best constant ones ({best}); near is "
        f"above {-NEAR:g}",
        lead(lines, IPROP, best, "normalized"),
        judge=above(-NEAR),
    )
    for name, value, what in (
        ("fgsm-start-flips", "flipped", "share flipped"),
        ("fgsm-start-objective", "normalized", "mean normalized objective"),
    ):
        found += claim_on(
            name,
            "a start from FGSM can raise the share of flips a good deal",
            f"{what}, IProp from FGSM less IProp from nothing",
            lead(lines, FROM_FGSM, IPROP, value),
            judge=above(0.0),
        )
    return found
