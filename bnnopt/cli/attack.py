"""``bnnopt attack``: attack test images, print a table, write JSON and a figure."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from bnnopt import api, datasets
from bnnopt.attacks import METHODS
from bnnopt.cli.budget import budget_options, read_budget
from bnnopt.cli.exit_codes import FAILED, INTERRUPTED
from bnnopt.cli.images import network_with_images, parse_indices
from bnnopt.cli.output import check_folder, json_sink
from bnnopt.cli.progress import Progress
from bnnopt.cli.work import Job, run_jobs
from bnnopt.datasets.catalog import COUNTS
from bnnopt.errors import InputError, MissingDependencyError
from bnnopt.result import AttackResult, Status

__all__ = ["attack"]


@click.command()
@click.argument("network")
@click.option("--images", default="0:10", show_default=True, help="Test-set indices or slices.")
@budget_options
@click.option("--method", default="auto", show_default=True, help=f"One of {', '.join(METHODS)}.")
@click.option("--solver", default="highs", show_default=True, help="See bnnopt solvers.")
@click.option("--formulation", default="tight", show_default=True, help="tight or paper.")
@click.option(
    "--target", default="runner-up", show_default=True, help="runner-up, untargeted or a class."
)
@click.option(
    "--goal",
    default="margin",
    show_default=True,
    help="margin, flip, linf, l1, l0, a sum such as margin+0.5*l1, or a pair such as l0,linf.",
)
@click.option(
    "--start", default="none", show_default=True, help="A method whose point to begin from."
)
@click.option("--time-limit", default=180.0, show_default=True, help="Seconds an image.")
@click.option(
    "--threads", default=1, show_default=True, help="Of the solver, and of branch and bound."
)
@click.option("--workers", default=1, show_default=True, help="Processes, an image each.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "json_file", help="Write a JSON line an attack; - for stdout.")
@click.option("--verbose", is_flag=True, help="Print the size of each model.")
@click.option("--figure", help="Write a figure of the images (.png, .pdf or .svg).")
def attack(
    network: str,
    images: str,
    json_file: str | None,
    figure: str | None,
    workers: int,
    verbose: bool,
    **options: Any,
) -> None:
    """Attack test images of NETWORK, a name of the zoo or an .npz file."""
    loaded = network_with_images(network)
    if workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    if figure:
        _check_figure(figure)
    options["target"] = api.read_target(options["target"])
    options = read_budget(options, loaded.input_shape)
    indices = parse_indices(images, COUNTS["test"])
    data = datasets.for_indices(loaded.dataset, indices)
    jobs = [
        Job(loaded, data.x(index), options | {"index": index, "label": int(data.labels[index])})
        for index in indices
    ]
    with json_sink(json_file) as write:
        results, interrupted = _run(jobs, workers, options, write)
    table = sys.stderr if json_file == "-" else sys.stdout
    if results:
        print(results_table(results), file=table)
    for result in results if verbose else ():
        print(f"image {result.image}: model {json.dumps(result.model)}", file=table)
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
    jobs: list[Job], workers: int, options: dict[str, Any], write: Callable[[str], None]
) -> tuple[list[AttackResult], bool]:
    """Attack every image; on Ctrl-C keep what is finished, and the incumbent of what is not."""
    results: list[AttackResult] = []
    interrupted = False
    with Progress(len(jobs), options["time_limit"]) as progress:
        if workers == 1 and progress.is_live:
            jobs = [
                job.having(on_incumbent=partial(progress.incumbent, job.options["index"]))
                for job in jobs
            ]
        try:
            for result in run_jobs(jobs, workers):
                results.append(result)
                progress.step(_line(result))
                write(json.dumps(result.as_dict()))
                if result.interrupted:
                    interrupted = True
                    break
        except KeyboardInterrupt:
            interrupted = True
    return sorted(results, key=lambda result: result.image or 0), interrupted


def _check_figure(path: str) -> None:
    """Complain before hours of work, not after."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "--figure", "report")
    if Path(path).suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"--figure must end in .png, .pdf or .svg, not {path!r}")
    check_folder(path, "--figure")


def _line(result: AttackResult) -> str:
    bound = "" if result.bound is None else f", bound {result.bound:g}"
    flipped = ", flipped" if result.flipped else ""
    return (
        f"image {result.image}: {result.status} at {result.objective:g}{bound}{flipped}, "
        f"{result.wall_time:.1f} s"
    )


def _goal_columns(result: AttackResult) -> dict[str, str]:
    """The perturbation's distances, where the goal is about them."""
    if result.goal in ("margin", "flip"):
        return {}
    return {name: f"{value:.5g}" for name, value in result.distances.items()}


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
            **_goal_columns(result),
            "seconds": f"{result.wall_time:.1f}",
        }
        for result in results
    ]
    table = tabulate(rows, headers="keys", disable_numparse=True, stralign="right")
    optimal = sum(result.status is Status.OPTIMAL for result in results)
    flipped = sum(result.flipped for result in results)
    verified = sum(result.verified for result in results)
    counts = (
        f"{len(results)} {'attack' if len(results) == 1 else 'attacks'}: {flipped} flipped, "
        f"{optimal} proved optimal, {verified} replayed exactly"
    )
    errors = [f"image {r.image}: {r.message}" for r in results if r.message]
    return "\n".join([table, "", counts, *errors])
