"""``bnnopt solvers``: what can be given as ``--solver``."""

from __future__ import annotations

import json

import click
from tabulate import tabulate

__all__ = ["solvers"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON line a solver.")
def solvers(as_json: bool) -> None:
    """List the solvers: available or why not, version, licence, capabilities."""
    from solvers import available

    found = available()
    if as_json:
        for info in found:
            click.echo(json.dumps(info.as_dict()))
        return
    rows = []
    for info in found:
        record = info.as_dict()
        can = record["capabilities"] or {}
        rows.append(
            {
                "solver": info.name,
                "available": "yes" if info.available else f"no: {info.reason}",
                "version": info.version,
                "licence": info.licence,
                "can": ", ".join(key.replace("_", " ") for key, value in can.items() if value),
            }
        )
    click.echo(tabulate(rows, headers="keys", maxcolwidths=[None, 34, None, 24, 30]))
