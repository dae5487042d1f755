"""What a campaign costs beyond its attacks, and what a second worker gains.

    python benchmarks/campaign.py --cells 1000

runs that many attacks that have nothing to do (epsilon 0) on one worker and prints the overhead of
a cell: wall time less the time inside the worker, and the runner's own CPU time. Then it runs
attacks bound by the processor on one and on two workers in turn, and prints the ratio of their
rates. Workers have started, and imported what they need, before any clock runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from bnnopt import datasets
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import run_campaign
from bnnopt.campaign.spec import CampaignSpec, parse_spec
from bnnopt.campaign.store import Store
from bnnopt.campaign.task import Task

IDLE = """
networks = ["fashion-mnist-2x100"]
images = "0:100"
epsilons = [0.0]
seeds = [{seeds}]
[[methods]]
method = "milp"
"""
BUSY = """
networks = ["fashion-mnist-2x100"]
images = "0:{images}"
epsilons = [0.005]
time_limit = 60
[[methods]]
method = "{method}"
"""


@dataclass(frozen=True)
class Run:
    """One campaign: wall seconds, those inside workers, the runner's CPU seconds."""

    cells: int
    wall: float
    inside: float
    runner: float


def run(spec: CampaignSpec, count: int) -> Run:
    """Run all cells of a spec on `count` warm workers."""
    workers = LocalWorkers(count)
    warm_up(workers, count)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s", create=True) as store:
        began, worked = time.perf_counter(), time.process_time()
        run_campaign(spec, store, workers)
        wall, runner = time.perf_counter() - began, time.process_time() - worked
        rows = list(store.rows())
    return Run(len(rows), wall, sum(row.seconds or 0.0 for row in rows), runner)


def warm_up(workers: LocalWorkers, count: int) -> None:
    """Have every worker do an idle cell."""
    spec = parse_spec(IDLE.format(seeds=0))
    (network,) = spec.networks.values()
    cell = next(iter(spec.cells())).cell
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        network.save(path)
        content = path.read_bytes()
    image = datasets.embedded().images[0].ravel()
    for number in range(count):
        workers.submit(Task(str(number), cell, content, image, 0))
    while workers.free() < count:
        workers.wait(60.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--method", default="milp", help="of the attacks bound by the processor")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    seeds = ", ".join(map(str, range(max(arguments.cells // 100, 1))))
    idle = run(parse_spec(IDLE.format(seeds=seeds)), 1)
    print(
        f"{idle.cells} idle cells: {1000 * (idle.wall - idle.inside) / idle.cells:.1f} ms a cell "
        f"beyond the attack's {1000 * idle.inside / idle.cells:.1f} ms, "
        f"{1000 * idle.runner / idle.cells:.1f} ms of them the runner's CPU time"
    )
    busy = parse_spec(BUSY.format(images=arguments.images, method=arguments.method))
    for number in range(arguments.rounds):
        runs = {n: run(busy, n) for n in ((1, 2) if number % 2 == 0 else (2, 1))}
        one, two = runs[1], runs[2]
        print(
            f"round {number}: {one.cells / one.wall:.2f} cells/s on one worker, "
            f"{two.cells / two.wall:.2f} on two: {one.wall / two.wall:.2f} times; "
            f"{one.inside:.1f} and {two.inside:.1f} s inside workers"
        )


if __name__ == "__main__":
    main()
