"""``bnnopt verify``: robust, vulnerable or unknown, image by image."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from tabulate import tabulate

from bnnopt import datasets
from bnnopt.certify import Certificate, EpsilonBracket, Robustness, bracket_epsilon, certify
from bnnopt.cli.budget import budget_options, read_budget
from bnnopt.cli.exit_codes import FAILED, INTERRUPTED
from bnnopt.cli.images import network_with_images, parse_indices
from bnnopt.cli.output import json_sink
from bnnopt.cli.progress import Progress
from bnnopt.datasets.catalog import COUNTS

__all__ = ["verify"]


@click.command()
@click.argument("network")
@click.option("--images", default="0:10", show_default=True, help="Test-set indices or slices.")
@budget_options
@click.option("--bisect", is_flag=True, help="Bisect up to epsilon for what each image withstands.")
@click.option("--solver", default="highs", show_default=True, help="See bnnopt solvers.")
@click.option("--time-limit", default=180.0, show_default=True, help="Seconds a verdict.")
@click.option(
    "--threads", default=1, show_default=True, help="Of the solver, and of branch and bound."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "json_file", help="Write a JSON line an image; - for stdout.")
def verify(network: str, images: str, bisect: bool, json_file: str | None, **options: Any) -> None:
    """Decide for test images of NETWORK whether any admissible change flips the prediction."""
    loaded = network_with_images(network)
    options = read_budget(options, loaded.input_shape)
    indices = parse_indices(images, COUNTS["test"])
    data = datasets.for_indices(loaded.dataset, indices)
    epsilon = options.pop("epsilon")
    rows: list[dict[str, Any]] = []
    failed = interrupted = False
    with json_sink(json_file) as write, Progress(len(indices), options["time_limit"]) as progress:
        for index in indices:
            known: dict[str, Any] = {"index": index, "label": int(data.labels[index])}
            try:
                if bisect:
                    bracket = bracket_epsilon(loaded, data.x(index), epsilon, **options, **known)
                    last, row = bracket.certificates[-1], _bracket_row(bracket)
                else:
                    last = certify(loaded, data.x(index), epsilon, **options, **known)
                    row = _row(last)
            except KeyboardInterrupt:
                interrupted = True
                break
            rows.append(row)
            progress.step("image " + ", ".join(f"{k} {v}" for k, v in row.items() if v != "")[6:])
            write(json.dumps(_record(last, row, bisect)))
            failed |= bool(last.message)
            if last.interrupted:
                interrupted = True
                break
    table = sys.stderr if json_file == "-" else sys.stdout
    if rows:
        print(tabulate(rows, headers="keys", disable_numparse=True, stralign="right"), file=table)
    if rows and not bisect:
        counts = [f"{sum(r['verdict'] == v for r in rows)} {v}" for v in Robustness]
        print(f"\n{len(rows)} images: {', '.join(counts)}", file=table)
    if interrupted:
        print("bnnopt: interrupted; what was finished is above", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if failed:
        sys.exit(FAILED)


def _row(certificate: Certificate) -> dict[str, Any]:
    flipped = certificate.target is not None
    return {
        "image": certificate.image,
        "label": certificate.label,
        "source": certificate.source,
        "verdict": certificate.verdict.value,
        "flips to": certificate.target if flipped else "",
        "margin": f"{certificate.margin:g}" if flipped else "",
        "classes ruled out": sum(v is Robustness.ROBUST for v in certificate.classes.values()),
        "seconds": f"{certificate.wall_time:.1f}",
    }


def _bracket_row(bracket: EpsilonBracket) -> dict[str, Any]:
    last = bracket.certificates[-1]
    return {
        "image": last.image,
        "label": last.label,
        "source": last.source,
        "certified": f"{bracket.certified:.5f}",
        "broken": "" if bracket.broken is None else f"{bracket.broken:.5f}",
        "verdicts": len(bracket.certificates),
        "seconds": f"{sum(c.wall_time for c in bracket.certificates):.1f}",
    }


def _record(last: Certificate, row: dict[str, Any], bisect: bool) -> dict[str, Any]:
    if not bisect:
        return last.as_dict()
    broken = row["broken"]
    return {
        "network": last.network,
        "image": last.image,
        "label": last.label,
        "source": last.source,
        "domain": last.domain,
        "certified": float(row["certified"]),
        "broken": float(broken) if broken else None,
    }
