"""``bnnopt networks``: the zoo."""

from __future__ import annotations

import json

import click
from tabulate import tabulate

from bnnopt import zoo
from bnnopt.network import BinarizedNetwork
from bnnopt.shapes import layers_text, shape_text

__all__ = ["networks", "networks_table"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON line a network.")
def networks(as_json: bool) -> None:
    """List the shipped networks."""
    loaded = [zoo.load(name) for name in zoo.NAMES]
    if as_json:
        for network in loaded:
            click.echo(json.dumps(_record(network)))
    else:
        click.echo(networks_table(loaded))


def networks_table(loaded: list[BinarizedNetwork]) -> str:
    """A table of networks: accuracies on the 10,000 test images, and how they were trained."""
    rows = []
    for network in loaded:
        record = _record(network)
        for key in ("accuracy", "accuracy_float"):
            record[key] = "" if record[key] is None else f"{record[key]:.2%}"
        rows.append(record)
    headers = {"accuracy": "folded accuracy", "accuracy_float": "float accuracy"}
    return tabulate(rows, headers=headers | {key: key for key in rows[0] if key not in headers})


def _record(network: BinarizedNetwork) -> dict[str, object]:
    recipe = network.recipe
    return {
        "name": network.name,
        "input": shape_text(network.input_shape),
        "hidden": layers_text(network),
        "accuracy_float": recipe.get("accuracy_float"),
        "accuracy": network.accuracy,
        "head": network.head,
        "epochs": recipe.get("epochs"),
        "seed": recipe.get("seed"),
        "seconds": recipe.get("seconds"),
        "device": recipe.get("device"),
    }
