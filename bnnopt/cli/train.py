"""``bnnopt train``: train one network, or the whole zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnnopt.cli.networks import networks_table
from bnnopt.cli.output import check_folder, make_folder
from bnnopt.errors import InputError

if TYPE_CHECKING:
    from bnnopt.training import Recipe

__all__ = ["train"]

GIVEN = click.core.ParameterSource.COMMANDLINE


@click.command()
@click.option("--dataset", default="mnist", show_default=True, help="mnist or fashion-mnist.")
@click.option("--depth", type=int, help="Dense hidden layers.  [default: 2]")
@click.option(
    "--width",
    default="100",
    show_default=True,
    help="Neurons of each hidden layer, or of one after the other: 500,200.",
)
@click.option(
    "--conv",
    multiple=True,
    metavar="CHANNELS,SIDE,STRIDE",
    help="A convolutional layer before the dense ones; may be repeated.",
)
@click.option("--head", default="integer", show_default=True, help="integer or batchnorm.")
@click.option("--input", "seen", default="levels", show_default=True, help="Or binary, or cuts:N.")
@click.option("--cuts", help="Where those are, in [0, 1], such as 0.2,0.6; evenly by default.")
@click.option("--learn-cuts", is_flag=True, help="Move the cuts by their gradient.")
@click.option(
    "--dead-zone",
    default=0.0,
    show_default=True,
    help="Leave out weights whose latent size is smaller: ternary weights.",
)
@click.option(
    "--head-range",
    default=0,
    show_default=True,
    help="Largest whole weight of the last layer; 0 for -1 and +1 only.",
)
@click.option("--robust", metavar="EPSILON", help="Train on images attacked within this epsilon.")
@click.option(
    "--attack-steps", default=1, show_default=True, help="Steps of gradient of such an attack."
)
@click.option(
    "--bound-weight",
    default=0.0,
    show_default=True,
    help="Share of the loss that is of the worst scores that bounds leave possible.",
)
@click.option(
    "--ramp", default=0.0, show_default=True, help="Share of the epochs in which epsilon grows."
)
@click.option(
    "--held-out", default=0, show_default=True, help="Training images that are left out, the last."
)
@click.option("--epochs", default=100, show_default=True)
@click.option("--batch-size", default=256, show_default=True)
@click.option("--learning-rate", default=0.003, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--title", default="", help="The network's name; its data set and layers by default.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--out", help="File to write (.npz); with --zoo, the folder.")
@click.option("--recipe", help="Train this shipped network anew: its name says the rest.")
@click.option("--zoo", is_flag=True, help="Train the paper's 16 networks instead.")
@click.option("--workers", default=1, show_default=True, help="Processes, with --zoo.")
@click.pass_context
def train(
    context: click.Context,
    /,
    device: str,
    out: str | None,
    recipe: str | None,
    zoo: bool,
    workers: int,
    **options: Any,
) -> None:
    """Train a binarized network, fold it, check it, and write it.

    An interrupted training goes on where it stopped when the same command is given again.
    """
    from bnnopt.training import shipped_recipe, train_to_file

    if workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    if zoo:
        _train_zoo(out, device, workers, options["epochs"], options["seed"])
        return
    if recipe is not None:
        extra = [key for key in options if context.get_parameter_source(key) is GIVEN]
        if extra:
            name = extra[0].replace("seen", "input").replace("_", "-")
            raise InputError(f"--recipe says everything of the network: leave out --{name}")
        chosen = shipped_recipe(recipe)
    else:
        chosen = _recipe(**options)
    path = Path(out or f"{chosen.name}.npz")
    make_folder(path.parent, "--out")
    check_folder(str(path), "--out")
    network = train_to_file(chosen, path, device)
    click.echo(f"{path}: {network.accuracy:.2%} of the 10,000 test images")


def _train_zoo(out: str | None, device: str, workers: int, epochs: int, seed: int) -> None:
    from bnnopt.training import train_zoo

    folder = Path(out or "networks")
    make_folder(folder, "--out")
    trained = []
    for network in train_zoo(folder, device, workers, epochs, seed):
        click.echo(f"{network.name}: {network.accuracy:.2%}")
        trained.append(network)
    click.echo(networks_table(sorted(trained, key=lambda network: network.name)))


def _recipe(
    *,
    dataset: str,
    depth: int | None,
    width: str,
    conv: tuple[str, ...],
    seen: str,
    cuts: str | None,
    **rest: Any,
) -> Recipe:
    """The recipe that the options of the command line make."""
    from bnnopt.training import Recipe

    widths = _whole_numbers(width, "--width", "100 or 500,200")
    example = "16,5,2 for 16 channels of 5 x 5 with stride 2"
    blocks = [_whole_numbers(block, "--conv", example) for block in conv]
    if depth is None:
        depth = len(widths) if len(widths) > 1 else 2
    return Recipe(
        dataset,
        depth,
        widths[0] if len(widths) == 1 else widths,
        input=seen,
        cuts=None if cuts is None else tuple(part.strip() for part in cuts.split(",")),
        convolutions=tuple(blocks),  # type: ignore[arg-type]  # the recipe counts their parts
        **rest,
    )


def _whole_numbers(text: str, option: str, example: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text!r} must be whole numbers, such as {example}") from None
