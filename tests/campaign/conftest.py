from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bnnopt.campaign.spec import CampaignSpec, parse_spec
from bnnopt.campaign.store import Store

SPEC = """
networks = ["fashion-mnist-2x100"]
images = "0:{images}"
epsilons = [0.0, 0.002]
time_limit = 60

[[methods]]
method = "milp"
"""


def small_spec(images: int = 4) -> CampaignSpec:
    return parse_spec(SPEC.format(images=images))


def patient_and_impatient_spec(images: int) -> CampaignSpec:
    """First attacks with a long limit, which start the workers, then others with a short one."""
    methods = [f'[[methods]]\nname = "{n}"\nmethod = "milp"\ntime_limit = {n}' for n in (90, 2)]
    grid = f'networks = ["fashion-mnist-2x100"]\nimages = "0:{images}"\nepsilons = [0.0]'
    return parse_spec("\n".join([grid, *methods]))


def spec_file(folder: Path, images: int = 4) -> Path:
    path = folder / "spec.toml"
    path.write_text(SPEC.format(images=images))
    return path


def command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "bnnopt", "campaign", *map(str, arguments)]


def table(path: Path) -> dict[str, tuple[Any, ...]]:
    """What must be the same however a campaign was run: no times, no attempts, no workers."""
    with Store(path) as store:
        found = {}
        for row in store.rows():
            record = json.loads(row.record or "null") or {}
            kept = ("status", "objective", "bound", "flipped", "verified", "distances")
            values = [row.state, row.definition, *(str(record.get(name)) for name in kept)]
            found[row.key] = (*values, row.levels)
        return found


@pytest.fixture
def launch() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start commands in process groups of their own; whatever is left is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
