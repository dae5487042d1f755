"""Run a list of VNN-COMP: ``python -m benchmarks.vnncomp.run_instances instances.csv OUT``.

Each line of the list is ONNX,VNNLIB,SECONDS, with files from the list's folder on, in ``.gz`` or
not. Each instance is one process, of the script run_instance.sh. OUT/results.csv gets a line an
instance as soon as it is done, and its result, a counterexample for instance, a file of its own;
the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bnnopt.exchange.vnnlib import packed

SCRIPT = Path(__file__).with_name("run_instance.sh")
GRACE = 60.0
"""Seconds beyond its limit after which a process is ended."""


@dataclass(frozen=True)
class Instance:
    """A line of the list."""

    network: str
    specification: str
    seconds: float

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the others."""
        return self.network, self.specification

    @property
    def name(self) -> str:
        """Of its result's file."""
        return f"{Path(self.network).stem}--{Path(self.specification).stem}"


def read_list(path: Path) -> list[Instance]:
    with path.open(newline="") as lines:
        return [
            Instance(network.strip(), specification.strip(), float(seconds))
            for network, specification, seconds, *_ in csv.reader(lines)
        ]


def read_done(path: Path) -> dict[tuple[str, str], str]:
    """The verdicts of the instances that are done; a line that was cut off is dropped."""
    if not path.exists():
        return {}
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return {(row[0], row[1]): row[2] for row in csv.reader(whole.splitlines())}


def missing(instance: Instance, folder: Path) -> list[str]:
    return [file for file in instance.key if not packed(folder / file).exists()]


def run(instance: Instance, folder: Path, out: Path, most: float) -> tuple[str, float]:
    """The verdict on an instance, and the seconds that it took."""
    result, limit = out / f"{instance.name}.txt", min(instance.seconds, most)
    files = [str(packed(folder / file)) for file in instance.key]
    began = time.perf_counter()
    process = subprocess.Popen([SCRIPT, "v1", "list", *files, str(result), f"{limit:g}"])
    try:
        process.wait(limit + GRACE)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
    seconds = time.perf_counter() - began
    return result.read_text().split("\n", 1)[0], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("list", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--most-seconds", type=float, default=float("inf"), help="an instance")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    results = given.out / "results.csv"
    instances, done = read_list(given.list), read_done(results)
    verdicts: Counter[str] = Counter()
    for number, instance in enumerate(instances, 1):
        gone = missing(instance, given.list.parent)
        seconds = 0.0
        if instance.key in done:
            verdict = done[instance.key]
        elif gone:
            verdict = "missing"
        else:
            verdict, seconds = run(instance, given.list.parent, given.out, given.most_seconds)
            with results.open("a", newline="") as lines:
                csv.writer(lines, lineterminator="\n").writerow(
                    [*instance.key, verdict, f"{seconds:.2f}"]
                )
        verdicts[verdict] += 1
        what = f": {', '.join(gone)}" if verdict == "missing" else f", {seconds:.1f} s"
        print(f"{number}/{len(instances)} {instance.name}: {verdict}{what}", flush=True)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    print(f"{len(instances)} instances: {counts}")


if __name__ == "__main__":
    main()
