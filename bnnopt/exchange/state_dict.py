"""Read a network from a state dict: tensors by name, and a list that says what is done with them.

Meant for BinaryNet and its kin, whose files hold latent weights, biases and batch norms, and
whose code lies elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from bnnopt.arguments import read_whole
from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.exchange.content import LARGEST, first_line, needs
from bnnopt.exchange.image import Limits
from bnnopt.exchange.imported import Imported
from bnnopt.network import BinarizedNetwork

__all__ = ["from_state_dict", "read_state_dict"]

MOST_NUMBERS = 2**27
"""Of all tensors together."""

NESTED = ("state_dict", "model_state_dict", "model", "net")
"""Under which checkpoints keep their state dict."""


def from_state_dict(
    source: str | os.PathLike[str] | Mapping[str, Any],
    layers: Sequence[str],
    *,
    input_shape: Sequence[int] | None = None,
    sign_of_zero: int = 0,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
    check: npt.ArrayLike | int = 200,
) -> BinarizedNetwork:
    """Read a binarized network from a state dict, and compare it with torch's layers.

    Parameters
    ----------
    source : path or mapping
        A file of `torch.save` (a state dict, or a checkpoint that holds one), of which tensors
        are read and nothing else; or arrays or tensors by name.
    layers : sequence of str
        What the network does, in order; each is one of

        - ``"linear"``, ``"conv"``: by the signs of the weights, with the bias if there is one;
          ``weights=real`` takes the weights as they are. A convolution has ``stride=``,
          ``padding=``, ``dilation=`` and ``groups=``, as in torch. A linear layer flattens what it
          sees.
        - ``"norm"``: batch normalization; ``eps=1e-4`` if that is not torch's 1e-5.
        - ``"sign"``: of the activations, or of the image.
        - ``"max_pool 2"``, ``"mean_pool 2"``: with ``stride=`` and ``padding=``;
          ``"global_mean"``.
        - ``"hardtanh"``, ``"relu"``.

        The first three may name their tensors, ``"linear fc1"`` for ``fc1.weight``; without a name
        they take the next layer of their kind, in the order of the state dict.
    input_shape : sequence of int or None
        Of an image, such as (3, 32, 32); None if the network begins with a linear layer.
    sign_of_zero : {0, 1, -1}
        What the sign of 0 is, of activations and of weights: 0 is that of `torch.sign`.
    input_range, mean, std, levels, check
        As `bnnopt.from_torch` takes them.

    Returns
    -------
    BinarizedNetwork

    Raises
    ------
    NetworkFormatError
        If the file is none of tensors, or the layers and tensors do not fit.
    InputError
        If a layer is written wrongly.

    Examples
    --------
    >>> bnnopt.from_state_dict(                                           # doctest: +SKIP
    ...     "mnist-100-bnn_1blk_50.pt",
    ...     ["sign", "linear fc1", "norm bn1", "hardtanh", "sign", "linear fc5"],
    ... )
    """
    found = read_state_dict(
        source,
        layers,
        input_shape=input_shape,
        sign_of_zero=sign_of_zero,
        input_range=input_range,
        mean=mean,
        std=std,
        levels=levels,
    )
    from bnnopt.exchange.comparison.agreement import compared

    compared(found, check).raise_if_wrong()
    return found.network


def read_state_dict(
    source: str | os.PathLike[str] | Mapping[str, Any],
    layers: Sequence[str],
    *,
    input_shape: Sequence[int] | None = None,
    sign_of_zero: int = 0,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
) -> Imported:
    """Read a network from a state dict, with what is known about it; nothing is compared.

    Parameters are those of `from_state_dict`.
    """
    needs("torch", "reading state dicts", "torch")
    import torch

    from bnnopt.exchange.described import Described
    from bnnopt.exchange.torch import read_module

    read_whole(sign_of_zero, "sign_of_zero", low=-1, high=1)
    if isinstance(source, Mapping):
        content, name = dict(source), ""
    else:
        content, name = _loaded(os.fspath(source)), os.path.basename(os.fspath(source))
    module = Described(_tensors(content), layers, sign_of_zero)
    shape = module.input_shape if input_shape is None else tuple(input_shape)
    if shape is None:
        raise InputError("a convolution sees images of a shape: give input_shape=(3, 32, 32), say")
    sides = [read_whole(side, "a side of input_shape", low=1, high=2**20) for side in shape]
    first = torch.zeros(1, *sides)
    reading: dict[str, Any] = {"input_range": input_range, "mean": mean, "std": std}
    return read_module(module, first, os.path.splitext(name)[0], levels=levels, **reading)


def _loaded(path: str) -> Any:
    """What a file holds, tensors and containers of them only."""
    import torch

    try:
        size = os.path.getsize(path)
        if size > LARGEST:
            raise NetworkFormatError(f"{path} has {size} bytes: at most {LARGEST} fit")
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise NetworkFormatError(f"{path} cannot be read: {error}") from None
    except NetworkFormatError:
        raise
    except Exception as error:  # noqa: BLE001 - torch raises anything on a damaged file
        raise NetworkFormatError(
            f"{path} is no file of tensors ({first_line(error)}): save model.state_dict(), not the "
            "model"
        ) from None


def _tensors(content: Any) -> dict[str, Any]:
    """A state dict's tensors, as float32, by name."""
    import torch

    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise NetworkFormatError("there is no state dict: tensors by name are needed")
    found: dict[str, Any] = {}
    total = 0
    for name, value in content.items():
        try:
            tensor = torch.as_tensor(value).detach()
        except (TypeError, ValueError, RuntimeError):
            raise NetworkFormatError(
                f"{str(name)!r} is no tensor but a {type(value).__name__}"
            ) from None
        total += tensor.numel()
        if total > MOST_NUMBERS:
            raise NetworkFormatError(f"its tensors have more than {MOST_NUMBERS} numbers")
        if tensor.is_complex() or tensor.is_quantized or tensor.layout != torch.strided:
            raise NetworkFormatError(f"{str(name)!r} is no tensor of plain real numbers")
        found[str(name).removeprefix("module.")] = tensor.to(torch.float32)
        if not torch.isfinite(found[str(name).removeprefix("module.")]).all():
            raise NetworkFormatError(f"{str(name)!r} holds numbers that are not finite")
    return found
