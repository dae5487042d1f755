"""Every cell of the grid, in an order of which each beginning is balanced."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bnnopt.campaign.cell import Cell
from bnnopt.campaign.spec import CampaignSpec, load_spec
from bnnopt.network import BinarizedNetwork

__all__ = ["ATTACK", "FOLDER", "MODEL", "STAGES", "Planned", "load_stages", "plan"]

FOLDER = Path(__file__).resolve().parents[2] / "campaigns" / "grid"

ATTACK, MODEL = "attack", "model"

STAGES = {
    "gradients": ATTACK,
    "ours": ATTACK,
    "ifgsm": ATTACK,
    "subproblems": MODEL,
    "milp": ATTACK,
    "iprop": ATTACK,
    "variants": ATTACK,
    "models": MODEL,
    "longer": ATTACK,
}
"""Files of `FOLDER`, the cheap ones first, and what is done with a cell: the attack of a campaign,
or one solve of the model that the attack would build."""

BLOCKS = (2, 5, 10, 20, 50, 100)
"""Before any stage goes on to the images of one block, all stages have had those of the blocks
before."""

KEY_LENGTH = 16
"""Hexadecimal digits: two of 100,000 cells share a key with a chance of 3e-10."""


@dataclass(frozen=True, eq=False)
class Planned:
    """A cell and where it is from.

    Parameters
    ----------
    stage : str
        Of `STAGES`.
    attack : str
        The name of its method in the stage's file.
    network : BinarizedNetwork
        The cell has its fingerprint only.
    cell : Cell
        As the campaign of that file has it.
    """

    stage: str
    attack: str
    network: BinarizedNetwork
    cell: Cell

    @cached_property
    def key(self) -> str:
        """The beginning of the cell's own, for an attack; one of its own for a model."""
        if STAGES[self.stage] == ATTACK:
            return self.cell.key[:KEY_LENGTH]
        content = f"{self.cell.definition} {self.attack}"
        return hashlib.sha256(content.encode()).hexdigest()[:KEY_LENGTH]


def load_stages(names: Sequence[str] = tuple(STAGES)) -> dict[str, CampaignSpec]:
    """The campaigns of some stages, by name.

    Raises
    ------
    InputError
        If a file is not a campaign.
    """
    return {name: load_spec(FOLDER / f"{name}.toml") for name in names}


def plan(stages: dict[str, CampaignSpec]) -> list[Planned]:
    """Every cell, in the order in which to run them.

    Within a stage, all networks, epsilons and methods get an image before any gets the next; of the
    stages, the cheap ones come first, block by block of images (`BLOCKS`). The methods of a stage
    follow each other on an image, so that what is compared runs in the same conditions.
    """
    cells = [
        Planned(stage, planned.attack, spec.networks[planned.cell.network], planned.cell)
        for stage, spec in stages.items()
        for planned in spec.cells()
    ]
    ranks = {name: rank for rank, name in enumerate(STAGES)}

    def place(planned: Planned) -> tuple[int, int, int, float, str]:
        cell = planned.cell
        block = bisect_right(BLOCKS, cell.image)
        return block, ranks[planned.stage], cell.image, cell.epsilon, cell.network

    return sorted(cells, key=place)
