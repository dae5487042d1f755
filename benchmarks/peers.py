"""Benchmarks made by others, as ours: their networks, their questions, and what they published.

    python benchmarks/peers.py msakai         # smallest perturbations, a dense network of 4 layers
    python benchmarks/peers.py npaq           # binary inputs, torch state dicts
    python benchmarks/peers.py bnnquanalyst   # binary inputs, CSV files
    python benchmarks/peers.py tfc            # binary inputs, QONNX
    python benchmarks/peers.py traffic-signs  # colour images, convolutions, ONNX and VNN-LIB

Files are looked for in ``$BNNOPT_PEERS``, and fetched otherwise (benchmarks/peer_files.toml). A
suite writes benchmarks/results/peers-SUITE.json after each instance.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate

from benchmarks import peer_binary, peer_onnx, peer_smallest
from benchmarks.record import FOLDER, write

SUITES = {
    "msakai": peer_smallest.msakai,
    "npaq": peer_binary.npaq,
    "bnnquanalyst": peer_binary.bnnquanalyst,
    "tfc": peer_onnx.tfc,
    "traffic-signs": peer_onnx.traffic_signs,
}
"""A suite takes the arguments, and yields (title, table, records) anew after each instance."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--limit", type=float, default=600.0, help="seconds an instance")
    parser.add_argument("--images", type=int, default=100, help="of suites that verify images")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    for title, table, records in SUITES[arguments.suite](arguments):
        write(arguments.out / f"peers-{arguments.suite}.json", title, arguments, table, records)
        print(tabulate(table, headers="keys"), flush=True)


if __name__ == "__main__":
    main()
