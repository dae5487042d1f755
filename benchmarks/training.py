"""Seconds of training and of batched PGD, on a CPU and on a GPU, and whether networks are equal.

    python benchmarks/training.py           # a GPU takes some minutes, a CPU one
    python benchmarks/training.py --full    # trains the sixteen networks of the zoo, too

On a machine without CUDA only the CPU's part runs, and says so; it wants a machine to itself, for
threads that wait for each other say nothing on a busy one. After a first epoch that does not
count, an epoch's seconds are the difference between runs of 5 and of 2 epochs, over 3, so that
warm-up and capture do not count either; the zoo's are those of its runs of 2 epochs, 98 more
epochs, and 16 exports. Results go to benchmarks/results/training.json after every measurement.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from tabulate import tabulate

from benchmarks.record import FOLDER, write
from bnnopt import attack_images, datasets
from bnnopt.training import Recipe, TrainingRun, export, train, train_together, train_zoo
from bnnopt.training.loop import accuracy, resident
from bnnopt.training.together import shape_of
from bnnopt.training.zoo import zoo_recipes

TITLE = (__doc__ or "").split("\n", 1)[0]
SHORT, LONG, WHOLE = 2, 5, 100
"""Epochs of the two runs that are compared, and of the zoo."""

Row = dict[str, Any]
Train = Callable[[int], list[TrainingRun]]


def seconds_of(runs: Sequence[TrainingRun]) -> float:
    """Of all epochs, without loading and exporting."""
    return sum(run.seconds for run in runs)


def epoch_seconds(trained: Train) -> tuple[float, float, list[TrainingRun]]:
    """Seconds of an epoch, those of a run of `SHORT` epochs, and the runs of `LONG` epochs."""
    trained(1)  # libraries and caches
    short = seconds_of(trained(SHORT))
    runs = trained(LONG)
    return (seconds_of(runs) - short) / (LONG - SHORT), short, runs


def alone(recipe: Recipe, device: str, graph: bool = True) -> Train:
    """Trains a network by itself for so many epochs."""
    return lambda epochs: [
        train(replace(recipe, epochs=epochs), device, progress=False, graph=graph)
    ]


def together(recipes: Sequence[Recipe], device: str) -> Train:
    """Trains networks of one shape at once for so many epochs."""
    return lambda epochs: train_together(
        [replace(recipe, epochs=epochs) for recipe in recipes], device, progress=False
    )


def row(what: str, device: str, seconds: float | None, bar: str = "", note: str = "") -> Row:
    return {"measurement": what, "device": device, "seconds": seconds, "bar": bar, "note": note}


def are_equal(a: TrainingRun, b: TrainingRun) -> bool:
    """Whether two trainings ended in the same network, to the bit."""
    first, second = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def shares_right(runs: Sequence[TrainingRun]) -> str:
    place = runs[0].model.output.latent.device
    shares = [accuracy(r.model, *resident(r.recipe.dataset, "test", place)) for r in runs]
    return ", ".join(f"{share:.2%}" for share in shares)


def on_cpu(report: Callable[[Row], None]) -> None:
    """An epoch of 2x100; two networks one after the other and at once, on one thread."""
    pair = [Recipe(name, 2, 100) for name in datasets.NAMES]
    for threads, word in ((2, "two threads"), (1, "one thread")):
        torch.set_num_threads(threads)
        seconds, _, runs = epoch_seconds(alone(pair[0], "cpu"))
        report(row(f"epoch of 2x100, {word}", "cpu", seconds, "1.5 s"))
    again = alone(pair[0], "cpu")(LONG)
    report(row("same seed, same bits", "cpu", None, "yes", _word(are_equal(runs[0], again[0]))))
    for what, trained in {
        "one after the other": lambda epochs: [r for p in pair for r in alone(p, "cpu")(epochs)],
        "at once": together(pair, "cpu"),
    }.items():
        seconds, _, runs = epoch_seconds(trained)
        note = f"{shares_right(runs)} after {LONG} epochs"
        report(row(f"epoch of two 2x100 {what}, one thread", "cpu", seconds, note=note))


def on_gpu(report: Callable[[Row], None]) -> None:
    """Epochs with and without the graph, and the zoo of 100 epochs from a few."""
    name = torch.cuda.get_device_name()
    for recipe in (Recipe("mnist", 2, 100), Recipe("mnist", 2, 500), Recipe("mnist", 5, 100)):
        ends = []
        for graph, word in ((True, "with"), (False, "without")):
            seconds, _, runs = epoch_seconds(alone(recipe, "cuda", graph))
            report(row(f"epoch of {recipe.name} {word} graph", name, seconds))
            ends += runs
        note = _word(are_equal(*ends))
        report(row(f"{recipe.name}: same bits with and without graph", name, None, "yes", note))
    zoo_by_few_epochs(report, name)


def zoo_by_few_epochs(report: Callable[[Row], None], name: str) -> None:
    """Each shape of the zoo at once, exported, and what 100 epochs of all would take."""
    shapes: dict[Recipe | None, list[Recipe]] = {}
    for recipe in zoo_recipes():
        shapes.setdefault(shape_of(recipe), []).append(recipe)
    total = 0.0
    for alike in shapes.values():
        seconds, short, runs = epoch_seconds(together(alike, "cuda"))
        began = time.perf_counter()
        for run in runs:
            export(run)
        exported = time.perf_counter() - began
        total += short + (WHOLE - SHORT) * seconds + exported
        what = f"epoch of {', '.join(recipe.name for recipe in alike)} at once"
        note = f"exports {exported:.1f} s; {shares_right(runs)} after {LONG} epochs"
        report(row(what, name, seconds, note=note))
    report(row("zoo, 100 epochs, from these", name, total, "180 s"))


def whole_zoo(report: Callable[[Row], None]) -> None:
    """`bnnopt train --zoo` as it is, with loading, checkpoints, exports and files."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        networks = list(train_zoo(folder, "cuda", epochs=WHOLE))
    seconds = time.perf_counter() - began
    note = ", ".join(f"{network.name} {network.accuracy:.2%}" for network in networks)
    name = torch.cuda.get_device_name()
    report(row("zoo, 100 epochs, in fact", name, seconds, "180 s", note))


def batched_pgd(report: Callable[[Row], None], device: str, count: int) -> None:
    """PGD on test images of 2x100 as `attack_images` runs it, replays among it."""
    images = datasets.for_indices("mnist", range(count)).x(slice(0, count))
    for turn in ("first call", "second call"):
        began = time.perf_counter()
        found = attack_images(
            "mnist-2x100", images, 0.01, method="pgd", device=device, progress=False
        )
        seconds = time.perf_counter() - began
        bar = "2.7 s before" if device == "cuda" else "22 s before, on four cores"
        note = f"{sum(result.flipped for result in found.results)} flips"
        what = f"PGD on {count} images of mnist-2x100, {turn}"
        report(row(what, device, seconds, bar if count == 1000 else "", note))


def _word(value: bool) -> str:
    return "yes" if value else "no"


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--full", action="store_true", help="train the whole zoo, on a GPU")
    parser.add_argument("--images", type=int, default=1000, help="of the batched PGD")
    parser.add_argument("--out", type=Path, default=FOLDER / "training.json")
    arguments = parser.parse_args()
    rows: list[Row] = []

    def report(measured: Row) -> None:
        rows.append(measured)
        print(tabulate([measured], floatfmt=".3f", tablefmt="plain"), flush=True)
        write(arguments.out, TITLE, arguments, rows)

    on_cpu(report)
    if torch.cuda.is_available():
        on_gpu(report)
        batched_pgd(report, "cuda", arguments.images)
        if arguments.full:
            whole_zoo(report)
    else:
        report(row("everything on a GPU", "none", None, note="not run: torch finds no CUDA here"))
        torch.set_num_threads(2)
        batched_pgd(report, "cpu", arguments.images)
    print(tabulate(rows, headers="keys", floatfmt=".3f"))


if __name__ == "__main__":
    main()
