"""A campaign's spec: a TOML file that names a grid of attacks (docs/campaigns.md)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnnopt import api, datasets
from bnnopt.arguments import read_fraction
from bnnopt.attacks.limits import Limits
from bnnopt.campaign.cell import Cell
from bnnopt.campaign.data import OwnData, read_own
from bnnopt.campaign.methods import MethodSpec, read_methods
from bnnopt.campaign.table import Table
from bnnopt.datasets.catalog import COUNTS
from bnnopt.datasets.catalog import spec as dataset_spec
from bnnopt.datasets.indexed import Images
from bnnopt.datasets.indices import parse_indices
from bnnopt.errors import InputError
from bnnopt.exchange.read import is_foreign
from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork, fingerprint

__all__ = ["CampaignSpec", "PlannedCell", "load_spec", "parse_spec"]

MAX_CELLS = 10_000_000


@dataclass(frozen=True)
class PlannedCell:
    """A cell, and the name of its method in the spec.

    Parameters
    ----------
    cell : Cell
        What is to be run.
    attack : str
        The name of its method in the spec.
    """

    cell: Cell
    attack: str


@dataclass(frozen=True, eq=False)
class CampaignSpec:
    """A validated spec.

    Parameters
    ----------
    text : str
        The TOML file as it was read.
    networks : dict
        By `fingerprint`.
    data : OwnData, str or None
        Images of all networks: those of a file, or a data set's name. None for each network's own.
    images : tuple of int
        Their indices.
    epsilons : tuple of float
        Largest changes of a pixel, in [0, 1]; a cell each.
    seeds : tuple of int
        A cell each.
    target, domain, goal, ties
        As for `bnnopt.attack`.
    threads : int
        For the solver.
    methods : tuple of MethodSpec
        A cell each, and one for each of their solvers.
    """

    text: str
    networks: dict[str, BinarizedNetwork]
    data: OwnData | str | None
    images: tuple[int, ...]
    epsilons: tuple[float, ...]
    seeds: tuple[int, ...]
    target: int | str
    domain: str
    goal: str
    ties: str
    threads: int
    methods: tuple[MethodSpec, ...]

    def dataset_of(self, network: BinarizedNetwork) -> str:
        """What cells call the images of a network: a data set's name, or `OwnData.identity`."""
        if isinstance(self.data, OwnData):
            return self.data.identity
        return self.data or network.dataset

    def images_by_dataset(self) -> Mapping[str, Images]:
        """Sets that hold the images of the spec, by `dataset_of`."""
        if isinstance(self.data, OwnData):
            return {self.data.identity: self.data.images}
        names = {self.dataset_of(network) for network in self.networks.values()}
        return {name: datasets.for_indices(name, self.images) for name in names}

    def cells(self) -> Iterator[PlannedCell]:
        """Every cell of the grid, in the spec's order."""
        for identity, network in self.networks.items():
            for method, solver in ((m, s) for m in self.methods for s in m.solvers):
                for epsilon, seed in ((e, s) for e in self.epsilons for s in self.seeds):
                    for image in self.images:
                        cell = Cell(
                            network=identity,
                            dataset=self.dataset_of(network),
                            image=image,
                            epsilon=epsilon,
                            target=method.asks.get("target", self.target),
                            domain=self.domain,
                            goal=method.asks.get("goal", self.goal),
                            method=method.method,
                            options=method.options,
                            solver=solver,
                            formulation=method.formulation,
                            start=method.start,
                            seed=seed,
                            time_limit=method.time_limit,
                            threads=self.threads,
                            ties=self.ties,
                            effort=method.effort,
                            proof=method.proof,
                        )
                        yield PlannedCell(cell, method.name)


def load_spec(path: str | os.PathLike[str]) -> CampaignSpec:
    """Read a spec; paths of networks and of data in it are relative to its folder.

    Parameters
    ----------
    path : path
        Of a TOML file.

    Raises
    ------
    InputError
        With the key that is wrong, and what would be right.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{os.fspath(path)} cannot be read as a spec: {error}") from None
    return parse_spec(text, Path(path).name, Path(path).parent)


def parse_spec(text: str, name: str = "spec", folder: Path = Path()) -> CampaignSpec:
    """Read a spec from its text: see `load_spec`.

    Parameters
    ----------
    text : str
        TOML.
    name : str
        What a complaint calls it.
    folder : path
        To which paths of networks are relative.
    """
    try:
        table = Table(tomllib.loads(text), name, ": ")
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is not TOML: {error}") from None
    data = _data(table, folder)
    networks = _networks(table, folder, data)
    images = table.take("images", str)
    with table.about("images"):
        count = len(data.images) if isinstance(data, OwnData) else COUNTS["test"]
        indices = tuple(parse_indices(images, count))
    if isinstance(data, OwnData):
        _check_images(table, networks, data, indices)
    epsilons = _epsilons(table, {network.levels for network in networks.values()})
    target = table.take("target", object, "runner-up")
    domain, goal = table.take("domain", str, "continuous"), table.take("goal", str, "margin")
    ties = table.take("ties", str, "lowest")
    for network in networks.values():
        _check_instances(table, network, epsilons, target, domain, goal, ties)
    seeds = table.take_list("seeds", int, [0])
    table.check("seeds", lambda seed: Limits(seed=seed), *seeds)
    threads = table.take("threads", int, 1)
    table.check("threads", lambda count: Limits(threads=count), threads)
    methods = read_methods(table)
    table.finish()
    spec = CampaignSpec(
        text,
        networks,
        data,
        indices,
        tuple(epsilons),
        tuple(seeds),
        target,
        domain,
        goal,
        ties,
        threads,
        methods,
    )
    contestants = sum(len(method.solvers) for method in methods)
    count = len(networks) * len(indices) * len(epsilons) * len(seeds) * contestants
    if count > MAX_CELLS:
        raise InputError(f"{name}: {count} cells are more than {MAX_CELLS}: split the campaign")
    return spec


def _epsilons(table: Table, levels: set[int]) -> list[float]:
    """Numbers, or texts such as "8/255", for networks of these levels."""
    epsilons: list[float] = []
    known = next(iter(levels)) if len(levels) == 1 else None
    for number, value in enumerate(table.take_list("epsilons", object)):
        place = f"epsilons[{number}]"
        with table.about(place):
            epsilon = float(read_fraction(value, "epsilon", low=0, high=1, levels=known))
        if epsilon in epsilons:
            raise InputError(f"{table.place(place)} repeats {value!r}")
        epsilons.append(epsilon)
    return epsilons


def _data(table: Table, folder: Path) -> OwnData | str | None:
    given: str | None = table.take("data", str, None)
    if given is None or given in datasets.NAMES:
        return given
    with table.about("data"):
        return read_own(folder / given)


def _networks(
    table: Table, folder: Path, data: OwnData | str | None
) -> dict[str, BinarizedNetwork]:
    networks: dict[str, BinarizedNetwork] = {}
    for number, name in enumerate(table.take_list("networks", str)):
        place = f"networks[{number}]"
        with table.about(place):
            is_file = name.endswith(".npz") or is_foreign(name)
            network = api.load_network(folder / name if is_file else name)
            if not isinstance(data, OwnData):
                _check_dataset(name, network, data or network.dataset)
            identity = fingerprint(network)
            if identity in networks:
                raise InputError(f"{name} is the same network as an earlier one")
            networks[identity] = network
    return networks


def _check_dataset(name: str, network: BinarizedNetwork, dataset: str) -> None:
    if not dataset:
        raise InputError(
            f"{name} names no data set: give images with data, an .npz file or a data set's name"
        )
    classes = len(dataset_spec(dataset).class_names)
    if network.num_classes > classes:
        raise InputError(f"{name} has {network.num_classes} classes, its data {classes}")


def _check_images(
    table: Table, networks: dict[str, BinarizedNetwork], data: OwnData, indices: Sequence[int]
) -> None:
    """Whether every network takes every image."""
    for network in networks.values():
        for index in indices:
            with table.about("data"):
                try:
                    network.levels_of(data.images.x(index))
                except InputError as error:
                    about = f"image {index} for {network.name or 'a network'}"
                    raise InputError(f"{about}: {error}") from None


def _check_instances(
    table: Table,
    network: BinarizedNetwork,
    epsilons: list[float],
    target: Any,
    domain: Any,
    goal: str,
    ties: Any,
) -> None:
    """Try every argument of an instance on a black image."""
    black = np.zeros(network.num_inputs)
    if isinstance(target, bool) or not isinstance(target, int | str):
        raise InputError(f"{table.place('target')} must be a name or a class, not {target!r}")
    for number, epsilon in enumerate(epsilons):
        with table.about(f"epsilons[{number}]"):
            AttackInstance(network, black, epsilon)
    with table.about("domain"):
        AttackInstance(network, black, 0.0, domain=domain)
    with table.about("goal"):
        AttackInstance(network, black, 0.0, goal=goal)
    with table.about("ties"):
        AttackInstance(network, black, 0.0, ties=ties)
    source = int(np.argmax(network.logits(black)))
    if target != source:
        with table.about("target"):
            AttackInstance(network, black, 0.0, target)
