"""``bnnopt verify``: robust, vulnerable or unknown, image by image."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import click
from tabulate import tabulate

from bnnopt.certify import Certificate, EpsilonBracket, Robustness, bracket_epsilon, certify
from bnnopt.cli.budget import budget_options, effort_option, read_budget
from bnnopt.cli.exit_codes import FAILED, INTERRUPTED
from bnnopt.cli.images import network_options, network_with_images
from bnnopt.cli.numbers import at_least, at_most
from bnnopt.cli.output import json_sink
from bnnopt.cli.progress import Progress
from bnnopt.cli.work import Failure, attempt
from bnnopt.result import RECORD_VERSION

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
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "json_file", help="Write a JSON line an image; - for stdout.")
def verify(network: str, images: str, bisect: bool, json_file: str | None, **options: Any) -> None:
    """Decide for images whether any admissible change flips the prediction of NETWORK.

    NETWORK is a name of the zoo, an .npz file, or one to import (.onnx).
    """
    loaded, source = network_with_images(network, options)
    options = read_budget(options, loaded.input_shape)
    indices = source.indices(images)
    data = source.at(indices)
    epsilon = options.pop("epsilon")
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    failures: list[Failure] = []
    failed = interrupted = False
    with json_sink(json_file) as write, Progress(len(indices), options["time_limit"]) as progress:
        for index in indices:
            known: dict[str, Any] = {"index": index, "label": data.label(index)}
            decide = bracket_epsilon if bisect else certify
            image = data.x(index)
            try:
                found = attempt(index, partial(decide, loaded, image, epsilon, **options, **known))
            except KeyboardInterrupt:
                interrupted = True
                break
            if isinstance(found, Failure):
                failures.append(found)
                progress.step()
                continue
            last = found.certificates[-1] if isinstance(found, EpsilonBracket) else found
            row = _bracket_row(found) if isinstance(found, EpsilonBracket) else _row(found)
            rows.append(row)
            progress.step("image " + ", ".join(f"{k} {v}" for k, v in row.items() if v != "")[6:])
            write(json.dumps(_record(found)))
            failed |= bool(last.message)
            notes += [f"image {index}: {note}" for note in (*last.notes, last.message) if note]
            if last.interrupted:
                interrupted = True
                break
    if failures and not rows and not interrupted:
        raise failures[0].error
    table = sys.stderr if json_file == "-" else sys.stdout
    if rows:
        print(tabulate(rows, headers="keys", disable_numparse=True, stralign="right"), file=table)
    if rows and not bisect:
        counts = [f"{sum(r['verdict'] == v for r in rows)} {v}" for v in Robustness]
        print(f"\n{len(rows)} images: {', '.join(counts)}", file=table)
    if notes:
        print("\n".join(notes), file=table)
    for failure in failures:
        print(f"bnnopt: image {failure.image}: {failure.error}", file=sys.stderr)
    if interrupted:
        print("bnnopt: interrupted; what was finished is above", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if failed or failures:
        sys.exit(FAILED)


def _row(certificate: Certificate) -> dict[str, Any]:
    flipped = certificate.target is not None
    return {
        "image": certificate.image,
        "label": certificate.label,
        "source": certificate.source,
        "verdict": certificate.verdict.value,
        "flips to": certificate.target if flipped else "",
        "margin": at_least(certificate.margin),
        "classes ruled out": sum(v is Robustness.ROBUST for v in certificate.classes.values()),
        "seconds": f"{certificate.wall_time:.1f}",
    }


def _bracket_row(bracket: EpsilonBracket) -> dict[str, Any]:
    last = bracket.certificates[-1]
    return {
        "image": last.image,
        "label": last.label,
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
