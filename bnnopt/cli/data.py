"""``bnnopt data``: where the data sets lie, and fetching them."""

from __future__ import annotations

import click

from bnnopt import datasets
from bnnopt.datasets.catalog import spec

__all__ = ["data"]


@click.group()
def data() -> None:
    """Find or fetch MNIST and Fashion-MNIST."""


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        spec(name)  # complains of an unknown one
    return names or datasets.NAMES


@data.command()
@click.argument("names", nargs=-1)
def where(names: tuple[str, ...]) -> None:
    """Print the path of each file of the data sets NAMES (all by default)."""
    for name in _names(names):
        for file, path in datasets.where(name).items():
            click.echo(f"{name}  {file}  {path or '(not on this machine: bnnopt data fetch)'}")


@data.command()
@click.argument("names", nargs=-1)
def fetch(names: tuple[str, ...]) -> None:
    """Download the data sets NAMES (all by default) unless they are here, and check them."""
    for name in _names(names):
        for file, path in datasets.fetch(name).items():
            click.echo(f"{name}  {file}  {path}")
