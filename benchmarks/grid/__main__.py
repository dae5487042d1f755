"""The paper's grid: run what is left of it, and keep a line of each cell.

    python -m benchmarks.grid --workers 2 --minutes 120

goes on from the lines in benchmarks/results/grid, whoever ran them, and says first what is left.
It ends when the minutes are over and the cells under way have ended, each at its own limit; Ctrl-C
ends it at once. A cell that failed has a line too, with the error; to run it again, delete that.
On several machines, give each a part of the cells with --share 1/2 and --share 2/2; their files are
merged line by line.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

from benchmarks.grid import lines
from benchmarks.grid.estimate import estimate
from benchmarks.grid.plan import STAGES, Planned, load_stages, plan
from benchmarks.grid.runner import left, run, solvable
from bnnopt.errors import BnnoptError, InputError

INTERRUPTED = 130


def share(cells: list[Planned], text: str) -> list[Planned]:
    """A machine's part of the cells, by their keys.

    Raises
    ------
    InputError
        If the text is not one of 1/N to N/N.
    """
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise InputError(f"--share is one of 1/N to N/N, such as 1/2, not {text!r}")
    return [cell for cell in cells if int(cell.key, 16) % int(parts) == int(part) - 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--stages", default=",".join(STAGES), help="some of the default")
    parser.add_argument("--share", default="1/1", help="of the cells, as in 1/2")
    parser.add_argument("--count", action="store_true", help="only say what is left")
    parser.add_argument("--folder", type=Path, default=lines.FOLDER, help="of the lines")
    arguments = parser.parse_args()
    until = time.monotonic() + 60 * arguments.minutes
    try:
        names = arguments.stages.split(",")
        if unknown := set(names) - set(STAGES):
            raise InputError(
                f"no stage {', '.join(sorted(unknown))}: there are {', '.join(STAGES)}"
            )
        cells, absent = solvable(share(plan(load_stages(names)), arguments.share))
        known = lines.read(arguments.folder, names)
    except BnnoptError as error:
        parser.error(str(error))
    for solver, reason in absent.items():
        print(f"without {solver}: {reason}")
    rows = estimate(cells, known)
    hours = sum(row["core-hours left"] for row in rows)
    print(tabulate(rows, headers="keys", floatfmt=".1f"))
    print(f"{sum(row['left'] for row in rows)} of {len(cells)} cells left, {hours:.1f} core-hours;")
    print("cells guessed count their whole time limit", flush=True)
    if arguments.count:
        return 0
    todo = left(cells, known)
    with tqdm(total=len(todo), unit="cell", file=sys.stderr) as bar:
        try:
            run(todo, arguments.folder, arguments.workers, until, bar.update)
        except BnnoptError as error:  # such as a data set that is not on this machine
            parser.error(str(error))
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
