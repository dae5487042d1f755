"""``bnnopt train``: train one network, or the whole zoo."""

from __future__ import annotations

from pathlib import Path

import click

from bnnopt.cli.networks import networks_table
from bnnopt.cli.output import check_folder, make_folder
from bnnopt.errors import InputError

__all__ = ["train"]


@click.command()
@click.option("--dataset", default="mnist", show_default=True, help="mnist or fashion-mnist.")
@click.option("--depth", default=2, show_default=True, help="Hidden layers.")
@click.option("--width", default=100, show_default=True, help="Neurons of each hidden layer.")
@click.option("--head", default="integer", show_default=True, help="integer or batchnorm.")
@click.option("--epochs", default=100, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--out", help="File to write (.npz); with --zoo, the folder.")
@click.option("--zoo", is_flag=True, help="Train the 16 shipped networks instead.")
@click.option("--workers", default=1, show_default=True, help="Processes, with --zoo.")
def train(
    dataset: str,
    depth: int,
    width: int,
    head: str,
    epochs: int,
    seed: int,
    device: str,
    out: str | None,
    zoo: bool,
    workers: int,
) -> None:
    """Train a binarized network, fold it, check it, and write it.

    An interrupted training goes on where it stopped when the same command is given again.
    """
    from bnnopt.training import Recipe, train_to_file, train_zoo

    if workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    if zoo:
        folder = Path(out or "networks")
        make_folder(folder, "--out")
        trained = []
        for network in train_zoo(folder, device, workers, epochs, seed):
            click.echo(f"{network.name}: {network.accuracy:.2%}")
            trained.append(network)
        click.echo(networks_table(sorted(trained, key=lambda network: network.name)))
        return
    recipe = Recipe(dataset, depth, width, head, epochs=epochs, seed=seed)  # type: ignore[arg-type]
    path = Path(out or f"{recipe.name}.npz")
    make_folder(path.parent, "--out")
    check_folder(str(path), "--out")
    network = train_to_file(recipe, path, device)
    click.echo(f"{path}: {network.accuracy:.2%} of the 10,000 test images")
