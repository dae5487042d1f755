"""``bnnopt verify``: robust, vulnerable or unknown, image by image."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from bnnopt.certify import Certificate, EpsilonBracket, bracket_epsilon, certify
from bnnopt.cli.budget import budget_options, effort_option, read_budget
from bnnopt.cli.exit_codes import BELOW, FAILED, INTERRUPTED
from bnnopt.cli.images import about, network_options, network_with_images
from bnnopt.cli.output import check_npz, json_sink
from bnnopt.cli.progress import Progress
from bnnopt.cli.proofs import print_proofs, proof_option, with_proofs
from bnnopt.errors import InputError
from bnnopt.jobs import Failure, Job, run_jobs
from bnnopt.reports import RobustnessReport, verdict_row
from bnnopt.result import RECORD_VERSION
from bnnopt.rounded import at_least, at_most
from bnnopt.tables import text_table

__all__ = ["verify"]

BRACKET_DIGITS = 4


@click.command()
@click.argument("network")
@network_options
@click.option("--images", default="0:10", show_default=True, help="Test-set indices or slices.")
@budget_options
@click.option("--bisect", is_flag=True, help="Bisect up to epsilon for what each image withstands.")
@click.option("--solver", default="highs", show_default=True, help="See bnnopt solvers.")
@click.option("--time-limit", default=180.0, show_default=True, help="Seconds a verdict.")
@effort_option
@click.option(
    "--threads", default=1, show_default=True, help="Of the solver, and of branch and bound."
)
@click.option("--workers", default=1, show_default=True, help="Processes, an image each.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--fail-under", type=float, help="Exit with 3 if the certified accuracy is below, such as 0.6."
)
@click.option("--save-images", help="Write the adversarial images that were found (.npz).")
@proof_option
@click.option("--json", "json_file", help="Write a JSON line an image; - for stdout.")
def verify(
    network: str,
    images: str,
    bisect: bool,
    json_file: str | None,
    save_images: str | None,
    proof: str | None,
    fail_under: float | None,
    workers: int,
    **options: Any,
) -> None:
    """Decide for images whether any admissible change flips the prediction of NETWORK.

    NETWORK is a name of the zoo, an .npz file, or one to import (.onnx, .h5, .keras).
    """
    loaded, source = network_with_images(network, options)
    options = read_budget(options, loaded.input_shape)
    if workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    if bisect and (save_images or proof or fail_under is not None):
        raise InputError("--save-images, --proof and --fail-under are not for --bisect")
    if save_images:
        check_npz(save_images, "--save-images")
    indices = source.indices(images)
    data = source.at(indices)
    if fail_under is not None and any(data.label(index) is None for index in indices):
        raise InputError("--fail-under needs labels: give them in the file of --data")
    epsilon = options.pop("epsilon")
    work = bracket_epsilon if bisect else certify
    jobs = [
        Job(work, loaded, data.x(index), epsilon, options | about(data, index)) for index in indices
    ]
    jobs = with_proofs(jobs, proof)
    with json_sink(json_file) as write:
        found, failures, interrupted = _run(jobs, workers, options["time_limit"], write)
    if failures and not found and not interrupted:
        raise failures[0].error
    table = sys.stderr if json_file == "-" else sys.stdout
    found.sort(key=lambda one: _last(one).image or 0)
    report = RobustnessReport(tuple(_last(one) for one in found))
    if bisect and found:
        notes = [
            f"image {c.image}: {note}" for c in report for note in (*c.notes, c.message) if note
        ]
        print("\n".join([text_table([_bracket_row(one) for one in found]), *notes]), file=table)
    elif found:
        print(report, file=table)
    if save_images:
        report.save(save_images)
        print(f"images: {save_images}", file=table)
    print_proofs(report, table)
    for failure in failures:
        print(f"bnnopt: image {failure.image}: {failure.error}", file=sys.stderr)
    if interrupted:
        print("bnnopt: interrupted; what was finished is above", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if failures or any(certificate.message for certificate in report):
        sys.exit(FAILED)
    if fail_under is not None and (report.certified_accuracy or 0.0) < fail_under:
        print(f"bnnopt: certified accuracy is below {fail_under:g}", file=sys.stderr)
        sys.exit(BELOW)


def _run(
    jobs: list[Job], workers: int, time_limit: float | None, write: Callable[[str], None]
) -> tuple[list[Any], list[Failure], bool]:
    """Decide on every image; on Ctrl-C keep what is finished."""
    found: list[Any] = []
    failures: list[Failure] = []
    interrupted = False
    with Progress(len(jobs), time_limit) as progress:
        try:
            for one in run_jobs(jobs, workers):
                if isinstance(one, Failure):
                    failures.append(one)
                    progress.step()
                    continue
                found.append(one)
                row = _bracket_row(one) if isinstance(one, EpsilonBracket) else verdict_row(one)
                told = ", ".join(f"{key} {value}" for key, value in row.items() if value != "")
                progress.step(told)
                write(json.dumps(_record(one)))
                interrupted |= _last(one).interrupted
                if interrupted and workers == 1:
                    break
        except KeyboardInterrupt:
            interrupted = True
    return found, failures, interrupted


def _last(found: Certificate | EpsilonBracket) -> Certificate:
    return found.certificates[-1] if isinstance(found, EpsilonBracket) else found


def _bracket_row(bracket: EpsilonBracket) -> dict[str, Any]:
    last = bracket.certificates[-1]
    return {
        "image": last.image,
        "label": "" if last.label is None else last.label,
        "source": last.source,
        "certified": at_least(bracket.certified, BRACKET_DIGITS),
        "broken": at_most(bracket.broken, BRACKET_DIGITS),
        "verdicts": len(bracket.certificates),
        "seconds": f"{sum(c.wall_time for c in bracket.certificates):.1f}",
    }


def _record(found: Certificate | EpsilonBracket) -> dict[str, Any]:
    if isinstance(found, Certificate):
        return found.as_dict()
    last = found.certificates[-1]
    return {
        "version": RECORD_VERSION,
        "network": last.network,
        "image": last.image,
        "label": last.label,
        "source": last.source,
        "domain": last.domain,
        "ties": last.ties,
        "certified": found.certified,
        "broken": found.broken,
    }
