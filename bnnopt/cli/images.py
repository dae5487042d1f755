"""The network of a command, and ``--images``."""

from __future__ import annotations

from bnnopt import api
from bnnopt.datasets.indices import parse_indices
from bnnopt.errors import InputError
from bnnopt.network import BinarizedNetwork

__all__ = ["network_with_images", "parse_indices"]


def network_with_images(name: str) -> BinarizedNetwork:
    """Load a network that says which data set it is for.

    Raises
    ------
    BnnoptError
        If there is no such network, or it names no data set.
    """
    network = api.load_network(name)
    if not network.dataset:
        raise InputError(f"{name} names no data set: save it with dataset='mnist', say")
    return network
