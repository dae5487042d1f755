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

from bnnopt import api
from bnnopt.cli.budget import budget_options, effort_option, read_budget
from bnnopt.cli.exit_codes import FAILED, INTERRUPTED
from bnnopt.cli.images import about, network_options, network_with_images
from bnnopt.cli.output import check_folder, check_npz, json_sink
from bnnopt.cli.progress import Progress
from bnnopt.cli.proofs import print_proofs, proof_option, with_proofs
from bnnopt.errors import InputError, MissingDependencyError
from bnnopt.jobs import Failure, Job, run_jobs
from bnnopt.reports import AttackReport
from bnnopt.result import AttackResult, Status
from bnnopt.rounded import at_least, at_most
from bnnopt.tables import goal_columns

__all__ = ["attack"]


@click.command()
@click.argument("network")
@network_options
@click.option("--images", default="0:10", show_default=True, help="Test-set indices or slices.")
@budget_options
@click.option("--method", default="auto", show_default=True, help="See bnnopt methods.")
@click.option("--solver", default="highs", show_default=True, help="See bnnopt solvers.")
@click.option("--formulation", default="tight", show_default=True, help="See bnnopt methods.")
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
@effort_option
@click.option(
    "--threads", default=1, show_default=True, help="Of the solver, and of branch and bound."
)
@click.option("--workers", default=1, show_default=True, help="Processes, an image each.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "json_file", help="Write a JSON line an attack; - for stdout.")
@click.option("--verbose", is_flag=True, help="Print the size of each model.")
@click.option("--save-images", help="Write the adversarial images that flip (.npz).")
@proof_option
@click.option("--figure", help="Write a figure of the images (.png, .pdf or .svg).")
def attack(
    network: str,
    images: str,
    json_file: str | None,
    save_images: str | None,
    figure: str | None,
    proof: str | None,
    workers: int,
    verbose: bool,
    **options: Any,
) -> None:
    """Attack images.

    NETWORK is a name of the zoo, an .npz file, or one to import (.onnx, .h5, .keras).
    """
    loaded, source = network_with_images(network, options)
    if workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    if figure:
        _check_figure(figure)
    if save_images:
        check_npz(save_images, "--save-images")
    options = read_budget(options, loaded.input_shape)
    indices = source.indices(images)
    data = source.at(indices)
    epsilon = options.pop("epsilon")
    jobs = [
        Job(api.attack, loaded, data.x(index), epsilon, options | about(data, index))
        for index in indices
    ]
    jobs = with_proofs(jobs, proof)
    with json_sink(json_file) as write:
        results, failures, interrupted = _run(jobs, workers, options, write)
    if failures and not results and not interrupted:
        raise failures[0].error
    table = sys.stderr if json_file == "-" else sys.stdout
    report = AttackReport(tuple(results))
    if results:
        print(report, file=table)
    for result in results if verbose else ():
        print(f"image {result.image}: model {json.dumps(result.model)}", file=table)
    if figure and results:
        from bnnopt.report.attack_figure import save_figure

        save_figure(results, figure, loaded.class_names)
        print(f"figure: {figure}", file=table)
    if save_images:
        report.save(save_images)
        print(f"images: {save_images}", file=table)
    print_proofs(results, table)
    for failure in failures:
        print(f"bnnopt: image {failure.image}: {failure.error}", file=sys.stderr)
    if interrupted:
        print("bnnopt: interrupted; what was finished is above", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if failures or any(result.status is Status.ERROR for result in results):
        sys.exit(FAILED)


def _run(
    jobs: list[Job], workers: int, options: dict[str, Any], write: Callable[[str], None]
) -> tuple[list[AttackResult], list[Failure], bool]:
    """Attack every image; on Ctrl-C keep what is finished, and the incumbents of what is not."""
    results: list[AttackResult] = []
    failures: list[Failure] = []
    interrupted = False
    with Progress(len(jobs), options["time_limit"]) as progress:
        if workers == 1 and progress.is_live:
            jobs = [
                job.having(on_incumbent=partial(progress.incumbent, job.options["index"]))
                for job in jobs
            ]
        try:
            for result in run_jobs(jobs, workers):
                if isinstance(result, Failure):
                    failures.append(result)
                    progress.step()
                    continue
                results.append(result)
                progress.step(_line(result))
                write(json.dumps(result.as_dict()))
                interrupted |= result.interrupted
                if interrupted and workers == 1:
                    break
        except KeyboardInterrupt:
            interrupted = True
    return sorted(results, key=lambda result: result.image or 0), failures, interrupted


def _check_figure(path: str) -> None:
    """Complain before hours of work, not after."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "--figure", "report")
    if Path(path).suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"--figure must end in .png, .pdf or .svg, not {path!r}")
    check_folder(path, "--figure")


def _line(result: AttackResult) -> str:
    bound = "" if result.bound is None else f", bound {at_most(result.bound)}"
    flipped = ", flipped" if result.flipped else ""
    goal = "".join(f", {name} {value}" for name, value in goal_columns(result).items() if value)
    return (
        f"image {result.image}: {result.status} at {at_least(result.objective)}{bound}{goal}"
        f"{flipped}, {result.wall_time:.1f} s"
    )
