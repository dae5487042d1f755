"""What a campaign costs beyond its attacks, and what a second worker gains.

    python benchmarks/campaign.py --cells 1000

runs that many attacks that have nothing to do (epsilon 0) on one worker and prints the overhead of
a cell: wall time from the first result to the last, less the time inside the worker. Then it runs
attacks bound by the processor on one and on two workers in turn, and prints the ratio of their
rates, start of the workers excluded, the time until they are all done included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import Tally, run_campaign
from bnnopt.campaign.spec import CampaignSpec, parse_spec
from bnnopt.campaign.store import Store

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
method = "milp"
"""


def run(spec: CampaignSpec, workers: int) -> tuple[float, float, int]:
    """(seconds from the end of the warm-up on, seconds inside workers, cells) of one run."""
    stamps: list[float] = []

    def note(tally: Tally) -> None:
        if tally.done == workers:
            stamps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s", create=True) as store:
        run_campaign(spec, store, LocalWorkers(workers), progress=note)
        ended = time.perf_counter()
        rows = sorted(store.rows(), key=lambda row: row.finished or 0.0)[workers:]
        inside = sum(row.seconds or 0.0 for row in rows)
    return ended - stamps[0], inside, len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    seeds = ", ".join(map(str, range(max(arguments.cells // 100, 1))))
    wall, inside, cells = run(parse_spec(IDLE.format(seeds=seeds)), 1)
    overhead = 1000 * (wall - inside) / cells
    print(
        f"{cells} idle cells: {overhead:.1f} ms a cell beyond the attack's {inside / cells:.3f} s"
    )
    busy = parse_spec(BUSY.format(images=arguments.images))
    for number in range(arguments.rounds):
        rates = {}
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            wall, inside, cells = run(busy, workers)
            rates[workers] = cells / wall
        print(
            f"round {number}: {rates[1]:.2f} cells/s on one worker, {rates[2]:.2f} on two: "
            f"{rates[2] / rates[1]:.2f} times"
        )


if __name__ == "__main__":
    main()
