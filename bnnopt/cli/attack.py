"""``bnnopt attack``: attack test images, print a table, write JSON and a figure."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import click
from tabulate import tabulate

from bnnopt import api, datasets
from bnnopt.cli.exit_codes import FAILED, INTERRUPTED
from bnnopt.cli.images import parse_indices
from bnnopt.cli.progress import Progress
from bnnopt.cli.work import Job, run_jobs
from bnnopt.datasets.catalog import COUNTS
from bnnopt.errors import InputError, MissingDependencyError
from bnnopt.result import AttackResult, Status

__all__ = ["attack"]


@click.command()
@click.argument("network")
@click.option("--images", default="0:10", show_default=True, help="Test-set indices or slices.")
@click.option("--epsilon", default=0.01, show_default=True, help="Largest change of a pixel.")
@click.option("--method", default="milp", show_default=True)
@click.option("--solver", default="highs", show_default=True, help="See bnnopt solvers.")
@click.option("--formulation", default="tight", show_default=True, help="tight or paper.")
@click.option(
    "--target", default="runner-up", show_default=True, help="runner-up, untargeted or a class."
)
@click.option("--domain", default="continuous", show_default=True, help="continuous or pixels.")
@click.option("--time-limit", default=180.0, show_default=True, help="Seconds an image.")
@click.option("--threads", default=1, show_default=True, help="For the solver.")
@click.option("--workers", default=1, show_default=True, help="Processes, an image each.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "json_file", help="Write a JSON line an attack; - for stdout.")
@click.option("--figure", help="Write a figure of the images (.png, .pdf or .svg).")
def attack(
    network: str,
    images: str,
    json_file: str | None,
    figure: str | None,
    workers: int,
    **options: Any,
) -> None:
    """Attack test images of NETWORK, a name of the zoo or an .npz file."""
    loaded = api.load_network(network)
    if not loaded.dataset:
        raise InputError(f"{network} names no data set: save it with dataset='mnist', say")
    if workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    if figure:
        _check_figure(figure)
    options["target"] = _target(options["target"])
    indices = parse_indices(images, COUNTS["test"])
    data = datasets.for_indices(loaded.dataset, indices)
    jobs = [
        Job(loaded, data.x(index), options | {"index": index, "label": int(data.labels[index])})
        for index in indices
    ]
    with _json_sink(json_file) as write:
        results, interrupted = _run(jobs, workers, options, write)
    table = sys.stderr if json_file == "-" else sys.stdout
    if results:
        print(results_table(results), file=table)
    if figure and results:
        from bnnopt.report.attack_figure import save_figure

        save_figure(results, figure, loaded.class_names)
        print(f"figure: {figure}", file=table)
    if interrupted:
        print("bnnopt: interrupted; what was finished is above", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if any(result.status is Status.ERROR for result in results):
        sys.exit(FAILED)


def _run(
    jobs: list[Job], workers: int, options: dict[str, Any], write: Callable[[AttackResult], None]
) -> tuple[list[AttackResult], bool]:
    """Attack every image; on Ctrl-C keep what is finished, and the incumbent of what is not."""
    results: list[AttackResult] = []
    interrupted = False
    with Progress(len(jobs), options["time_limit"]) as progress:
        try:
            for result in run_jobs(jobs, workers):
                results.append(result)
                write(result)
                progress.step(_line(result))
                if result.interrupted:
                    interrupted = True
                    break
        except KeyboardInterrupt:
            interrupted = True
    return sorted(results, key=lambda result: result.image or 0), interrupted


def _target(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) < 10 else text


def _check_figure(path: str) -> None:
    """Complain before hours of work, not after."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "--figure", "report")
    if Path(path).suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"--figure must end in .png, .pdf or .svg, not {path!r}")
    _check_folder(path, "--figure")


def _check_folder(path: str, option: str) -> None:
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise InputError(f"{option}: the folder {str(folder)!r} does not exist")
    if Path(path).is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{option}: {path!r} cannot be written")


@contextmanager
def _json_sink(path: str | None) -> Iterator[Callable[[AttackResult], None]]:
    """A function that writes one result; each line is on disk before the next attack starts."""
    if path is None:
        yield lambda result: None
        return
    if path == "-":
        yield lambda result: _write_line(sys.stdout, result)
        return
    _check_folder(path, "--json")
    with ExitStack() as stack:
        streams: list[IO[str]] = []

        def write(result: AttackResult) -> None:
            # Opened by the first result: a mistaken command must not empty an older file.
            if not streams:
                streams.append(stack.enter_context(open(path, "w", encoding="utf-8")))
            _write_line(streams[0], result)

        yield write


def _write_line(stream: IO[str], result: AttackResult) -> None:
    stream.write(json.dumps(result.as_dict()) + "\n")
    stream.flush()


def _line(result: AttackResult) -> str:
    bound = "" if result.bound is None else f", bound {result.bound:g}"
    flipped = ", flipped" if result.flipped else ""
    return (
        f"image {result.image}: {result.status} at {result.objective:g}{bound}{flipped}, "
        f"{result.wall_time:.1f} s"
    )


def results_table(results: list[AttackResult]) -> str:
    """A table of results, and a line that counts."""
    rows = [
        {
            "image": result.image,
            "label": result.label,
            "source": result.source,
            "target": result.target,
            "start": f"{result.start_objective:g}",
            "objective": f"{result.objective:g}",
            "bound": "" if result.bound is None else f"{result.bound:g}",
            "status": result.status.value,
            "flipped": "yes" if result.flipped else "",
            "seconds": f"{result.wall_time:.1f}",
        }
        for result in results
    ]
    table = tabulate(rows, headers="keys", disable_numparse=True, stralign="right")
    optimal = sum(result.status is Status.OPTIMAL for result in results)
    flipped = sum(result.flipped for result in results)
    verified = sum(result.verified for result in results)
    counts = (
        f"{len(results)} attacks: {flipped} flipped, {optimal} proved optimal, "
        f"{verified} replayed exactly"
    )
    errors = [f"image {r.image}: {r.message}" for r in results if r.message]
    return "\n".join([table, "", counts, *errors])
