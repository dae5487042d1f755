"""Retrain the shipped networks: the paper's architectures on both data sets, and robust ones."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from bnnopt.datasets import NAMES as DATASETS
from bnnopt.errors import NetworkFormatError, UnknownNameError
from bnnopt.network import BinarizedNetwork
from bnnopt.training.export import export
from bnnopt.training.loop import TrainingRun, pick_device, train
from bnnopt.training.recipe import Convolutional, Recipe
from bnnopt.training.together import shape_of, train_together
from bnnopt.zoo import ARCHITECTURES

__all__ = ["ROBUST_RECIPES", "shipped_recipe", "train_to_file", "train_zoo", "zoo_recipes"]


def _robust(name: str, block: Convolutional, epochs: int, **options: Any) -> Recipe:
    """One convolution behind cuts; the last 5,000 training images made the choices."""
    return Recipe(
        name.partition("-robust-")[0],
        0,
        (),
        epochs=epochs,
        batch_size=128,
        learning_rate=0.01,
        convolutions=(block,),
        dead_zone=0.03,
        head_range=15,
        ramp=0.3,
        held_out=5000,
        title=name,
        **({"input": "binary"} | options),
    )


ROBUST_RECIPES = (
    _robust("mnist-robust-0.1", (32, 5, 1), 145, robust=0.15, bound_weight=0.15),
    _robust("mnist-robust-0.3", (64, 5, 1), 140, robust=0.3, bound_weight=0.2),
    _robust("fashion-mnist-robust-0.1", (32, 3, 1), 145, robust=0.1, cuts=(0.2,), bound_weight=0.4),
    _robust(
        "fashion-mnist-robust-0.02",
        (32, 5, 1),
        140,
        robust=0.025,
        input="cuts:3",
        cuts=(0.1, 0.3, 0.6),
        bound_weight=0.3,
    ),
)
"""The networks whose robustness is proved (docs/robust.md)."""


def shipped_recipe(name: str) -> Recipe:
    """How a shipped network was trained.

    Parameters
    ----------
    name : str
        The network's, such as ``mnist-2x100``.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    """
    recipes = {recipe.name: recipe for recipe in (*zoo_recipes(), *ROBUST_RECIPES)}
    if name not in recipes:
        raise UnknownNameError("recipe", name, tuple(recipes))
    return recipes[name]


def zoo_recipes(epochs: int = 100, seed: int = 0) -> list[Recipe]:
    """The recipes of the 16 networks, the widest first, so that workers end together."""
    recipes = [
        Recipe(dataset, depth, width, epochs=epochs, seed=seed)
        for dataset in DATASETS
        for depth, width in ARCHITECTURES
    ]
    return sorted(recipes, key=lambda recipe: -recipe.widths[0])


def train_to_file(
    recipe: Recipe, path: str | os.PathLike[str], device: str = "auto", progress: bool = True
) -> BinarizedNetwork:
    """Train, fold, check and write one network; a checkpoint beside it survives a Ctrl-C.

    Parameters
    ----------
    recipe : Recipe
        What to train, and how.
    path : path
        Of the ``.npz`` file.
    device : {"auto", "cpu", "cuda"}
        As for `train`.
    progress : bool
        Likewise.
    """
    checkpoint = _checkpoint_of(path)
    run = train(recipe, device=device, checkpoint=checkpoint, progress=progress)
    return _write(run, path, checkpoint)


def _checkpoint_of(path: str | os.PathLike[str]) -> Path:
    return Path(f"{os.fspath(path)}.checkpoint")


def _write(run: TrainingRun, path: str | os.PathLike[str], checkpoint: Path) -> BinarizedNetwork:
    network = export(run)
    network.save(path)
    checkpoint.unlink(missing_ok=True)
    return network


def train_zoo(
    folder: str | os.PathLike[str],
    device: str = "auto",
    workers: int = 1,
    epochs: int = 100,
    seed: int = 0,
) -> Iterator[BinarizedNetwork]:
    """Train every network of the zoo into `folder`, skipping those that are there already.

    On a CUDA device the networks of one shape are trained at once (`train_together`), in this
    process; on a CPU, where that is no faster, each has a process to itself.

    Parameters
    ----------
    folder : path
        Made if missing.
    device : {"auto", "cpu", "cuda"}
        As for `train`.
    workers : int
        Processes on a CPU, one torch thread each.
    epochs, seed : int
        Of every recipe.

    Yields
    ------
    BinarizedNetwork
        In the order in which they are done.
    """
    targets = {r: Path(folder) / f"{r.name}.npz" for r in zoo_recipes(epochs, seed)}
    missing = {recipe: path for recipe, path in targets.items() if not _is_done(recipe, path)}
    yield from (BinarizedNetwork.load(path) for r, path in targets.items() if r not in missing)
    if pick_device(device).type == "cuda":
        yield from _at_once(missing, device)
    else:
        yield from _in_processes(missing, device, workers)


def _at_once(missing: dict[Recipe, Path], device: str) -> Iterator[BinarizedNetwork]:
    """The networks of one shape together, one shape after the other."""
    shapes: dict[Recipe | None, list[Recipe]] = {}
    for recipe in missing:
        shapes.setdefault(shape_of(recipe), []).append(recipe)
    for alike in shapes.values():
        checkpoints = [_checkpoint_of(missing[recipe]) for recipe in alike]
        runs = train_together(alike, device, checkpoints)
        for run, checkpoint in zip(runs, checkpoints, strict=True):
            yield _write(run, missing[run.recipe], checkpoint)


def _in_processes(
    missing: dict[Recipe, Path], device: str, workers: int
) -> Iterator[BinarizedNetwork]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [
            pool.submit(_job, r, str(path), device, workers == 1) for r, path in missing.items()
        ]
        try:
            for job in as_completed(jobs):
                yield BinarizedNetwork.load(job.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _is_done(recipe: Recipe, path: Path) -> bool:
    try:
        found = BinarizedNetwork.load(path).recipe
    except NetworkFormatError:
        return False
    return recipe.as_dict().items() <= dict(found).items()


def _job(recipe: Recipe, path: str, device: str, progress: bool) -> str:
    torch.set_num_threads(1)
    train_to_file(recipe, path, device, progress)
    return path
