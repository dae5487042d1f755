"""How far a campaign is, read from its store while it runs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from bnnopt.campaign.cell import Cell
from bnnopt.campaign.store import Row, Store
from bnnopt.result import Status

__all__ = ["AttackProgress", "CampaignStatus", "campaign_status"]

RATE_SECONDS = 600.0
"""The rate is that of the last ten minutes."""


@dataclass
class AttackProgress:
    """Cells of one method of the spec, by state, and what the finished ones say.

    `robust` images have no flip, proved; `certified` ones are classified right as well.

    Parameters
    ----------
    attack : str
        The method's name in the spec.
    open, claimed, done, failed : int
        Cells in that state.
    flipped, optimal, robust, certified : int
        Of those that are done.
    seconds : float
        Wall time of those that are done, in all.
    """

    attack: str
    open: int = 0
    claimed: int = 0
    done: int = 0
    failed: int = 0
    flipped: int = 0
    optimal: int = 0
    robust: int = 0
    certified: int = 0
    seconds: float = 0.0


@dataclass
class CampaignStatus:
    """The whole campaign.

    Parameters
    ----------
    attacks : list of AttackProgress
        One a method.
    runners : int
        Alive now.
    rate : float
        Cells a second of late; 0 if none.
    failures : int
        Attacks that failed and workers lost, so far.
    errors : list of str
        Of cells that have failed, each message once.
    """

    attacks: list[AttackProgress]
    runners: int
    rate: float
    failures: int
    errors: list[str] = field(default_factory=list)

    @property
    def unfinished(self) -> int:
        """Cells that are open or claimed."""
        return sum(attack.open + attack.claimed for attack in self.attacks)


def campaign_status(store: Store) -> CampaignStatus:
    """How far the campaign in a store is.

    Parameters
    ----------
    store : Store
        A runner may be at work on it.
    """
    attacks: dict[str, AttackProgress] = {}
    errors: dict[str, None] = {}
    finished: list[float] = []
    for row in store.rows():
        attack = attacks.setdefault(row.attack, AttackProgress(row.attack))
        setattr(attack, row.state, getattr(attack, row.state) + 1)
        if row.state == "failed":
            errors[row.error] = None
        if row.state != "done" or row.record is None or row.seconds is None or row.finished is None:
            continue
        record = json.loads(row.record)
        attack.flipped += bool(record["flipped"])
        attack.optimal += record["status"] == Status.OPTIMAL
        is_robust = _rules_out_flips(row, record)
        attack.robust += is_robust
        attack.certified += is_robust and record["label"] == record["source"]
        attack.seconds += row.seconds
        finished.append(row.finished)
    runners = store.runners()
    alive = sum(runner["alive"] for runner in runners)
    return CampaignStatus(
        list(attacks.values()), alive, _rate(finished), len(store.failures()), list(errors)
    )


def _rules_out_flips(row: Row, record: dict[str, Any]) -> bool:
    """Whether it is proved that no admissible image gets any other class."""
    cell = Cell.from_definition(row.definition)
    return cell.target == "untargeted" and record["status"] == Status.INFEASIBLE


def _rate(finished: list[float]) -> float:
    now = time.time()
    late = [when for when in finished if now - when <= RATE_SECONDS]
    return len(late) / max(now - min(late), 1.0) if late else 0.0
