"""``bnnopt methods``: what can be given as ``--method`` and ``--formulation``."""

from __future__ import annotations

from collections.abc import Iterator

import click
from tabulate import tabulate

from bnnopt import attacks
from bnnopt.formulations import names
from bnnopt.plugins import Offered

__all__ = ["methods"]


@click.command()
def methods() -> None:
    """List the attacks and formulations, those of other packages too."""
    click.echo(tabulate(_rows(), headers="keys", maxcolwidths=[None, None, None, 60]))


def _rows() -> Iterator[dict[str, str]]:
    for kind, offers in (("method", attacks.offered()), ("formulation", names.offered())):
        for offer in offers:
            yield _row(kind, offer)


def _row(kind: str, offer: Offered) -> dict[str, str]:
    available = f"no: {offer.problem}" if offer.problem else "yes"
    return {"kind": kind, "name": offer.name, "package": offer.package, "available": available}
