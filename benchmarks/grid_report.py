"""The paper's grid: its claims one by one, methods, what is known of each network, and solvers.

    python benchmarks/grid_report.py && python -m benchmarks.page && python -m benchmarks.quotes

reads the lines of `python -m benchmarks.grid`, and writes grid-claims.json, grid-methods.json,
grid-networks.json and grid-solvers.json into benchmarks/results, as far as there are lines for
them, and Figures 2 to 6 and ours into docs/figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate

from benchmarks.grid import lines
from benchmarks.grid.claim import Claim, Lines
from benchmarks.grid.claims import claims
from benchmarks.grid.figures import draw
from benchmarks.grid.frame import attacks, models
from benchmarks.grid.plan import STAGES, load_stages, plan
from benchmarks.grid.tables import disagreements, methods, networks, solver_table
from benchmarks.record import FOLDER, write

TITLES = {
    "claims": "The paper's claims as numbers of its grid, with 95 % bootstrap intervals of images.",
    "methods": "The grid's methods by epsilon: shares and means with 95 % bootstrap intervals.",
    "networks": "What all methods together know of each network: proofs, certified and flipped.",
    "solvers": "Solvers on the grid's models: the paper's, the tight one, subproblems of IProp.",
}
DIGITS = 4
Row = dict[str, Any]


def claim_row(claim: Claim) -> Row:
    """A claim as JSON has it: rounded, with null for never."""
    row = asdict(claim)
    for name in ("value", "low", "high"):
        number = row[name]
        row[name] = round(number, DIGITS) if abs(number) != float("inf") else None
    return row


def tables(found: Lines) -> dict[str, list[Row]]:
    """The tables, by name; empty where there are no lines."""
    has_attacks, has_models = len(found.attacks) > 0, len(found.models) > 0
    return {
        "claims": [claim_row(claim) for claim in claims(found)],
        "methods": methods(found.attacks) if has_attacks else [],
        "networks": networks(found.attacks) if has_attacks else [],
        "solvers": solver_table(found.models) if has_models else [],
    }


def conditions(machines: Sequence[Row]) -> dict[str, str]:
    """What the lines were measured on."""
    return {
        f"machine {row['key']}": f"{row['processor']}; {row['versions']}; code {row['code']}"
        for row in machines
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--lines", type=Path, default=lines.FOLDER, help="their folder")
    parser.add_argument("--figures", type=Path, default=FOLDER.parents[1] / "docs" / "figures")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    planned = plan(load_stages())
    known = lines.read(arguments.lines, list(STAGES))
    found = Lines(attacks(planned, known), models(planned, known))
    measured = conditions(list(lines.read_stage(arguments.lines, lines.CONDITIONS)))
    for name, rows in tables(found).items():
        if rows:
            path = arguments.out / f"grid-{name}.json"
            write(path, TITLES[name], arguments, rows, conditions=measured)
            print(tabulate(rows, headers="keys"), end="\n\n")
    failed = [line for line in known.values() if "error" in line]
    print(f"{len(failed)} cells failed", *sorted({line["error"] for line in failed}), sep="\n")
    if len(found.models):
        differing = disagreements(found.models)
        print(f"{len(differing)} models on which proofs disagree", *differing, sep="\n")
    print("figures:", *(path.name for path in draw(found, arguments.figures)))


if __name__ == "__main__":
    main()
