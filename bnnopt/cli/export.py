"""``bnnopt export``: an attack as a model or a property, or the network as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bnnopt import __version__
from bnnopt.api import load_network
from bnnopt.cli.budget import budget_options, read_budget
from bnnopt.cli.images import network_options, network_with_images, reading
from bnnopt.cli.output import check_folder
from bnnopt.counts import counted
from bnnopt.errors import InputError

__all__ = ["export"]

VNNLIB = ".vnnlib"


@click.command()
@click.argument("network")
@network_options
@click.option("--image", default="0", show_default=True, help="Test-set index.")
@budget_options
@click.option("--formulation", default="tight", show_default=True, help="See bnnopt methods.")
@click.option("--target", default="runner-up", show_default=True)
@click.option("--goal", default="margin", show_default=True, help="As for attack; first stage.")
@click.option("--out", help="A file that ends in .lp, .mps or .vnnlib.")
@click.option("--onnx", metavar="FILE", help="Write the network itself, as an ONNX file.")
def export(network: str, out: str | None, onnx: str | None, **options: Any) -> None:
    """Write one attack on NETWORK as a model, LP or MPS, or as a VNN-LIB property.

    The model has the paper's names p, a and h, by layer and neuron, and says at its top what its
    objective means; the property asks for a flip. With --onnx,
    write the network: what onnxruntime gives is what NETWORK gives, exactly.
    """
    if (out is None) == (onnx is None):
        raise InputError("give --out FILE for an attack, or --onnx FILE for the network")
    if onnx is not None:
        _network(network, onnx, options)
    elif out is not None:
        _model(network, out, **options)


def _network(network: str, path: str, options: dict[str, Any]) -> None:
    from bnnopt.exchange.onnx_write import to_onnx

    check_folder(path, "--onnx")
    loaded = load_network(network, **reading(options))
    to_onnx(loaded, path)
    shape = ", ".join(map(str, ("N", *loaded.input_shape)))
    print(
        f"{path}: image ({shape}) of float32 in [0, 1], logits (N, {loaded.num_classes}), "
        f"{Path(path).stat().st_size} bytes"
    )


def _model(
    network: str, out: str, image: str, formulation: str, target: str, goal: str, **options: Any
) -> None:
    from bnnopt.exchange.vnnlib import write_vnnlib
    from bnnopt.formulations.attack import attack_model, model_size
    from bnnopt.formulations.files import ENDINGS, describe_attack, write_model
    from bnnopt.instance import AttackInstance

    loaded, source = network_with_images(network, options)
    if Path(out).suffix not in (*ENDINGS, VNNLIB):
        raise InputError(f"--out must end in {', '.join(ENDINGS)} or {VNNLIB}, not {out!r}")
    check_folder(out, "--out")
    indices = source.indices(image)
    if len(indices) != 1:
        raise InputError(f"--image takes one index, not {image!r}")
    data = source.at(indices)
    options = read_budget(options, loaded.input_shape)
    instance = AttackInstance(loaded, data.x(indices[0]), target=target, goal=goal, **options)
    if Path(out).suffix == VNNLIB:
        write_vnnlib(instance, out)
        inputs, targets = counted(loaded.num_inputs, "input"), len(instance.targets)
        print(f"{out}: {inputs}, {counted(targets, 'class')} to flip to")
        return
    model = attack_model(instance, formulation)
    where = f"image {indices[0]} of {Path(data.name).name}"
    write_model(model, out, describe_attack(instance, formulation, __version__, where))
    size = model_size(model)
    print(
        f"{out}: {counted(size['variables'], 'variable')} ({size['binaries']} binary), "
        f"{counted(size['rows'], 'row')}, {counted(size['nonzeros'], 'nonzero')}; "
        f"stable neurons by layer: {size['stable']}"
    )
