"""Read a network from a torch module."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.exchange.content import first_line, needs
from bnnopt.exchange.image import FileInput, Limits, image_of
from bnnopt.exchange.imported import Imported, finished
from bnnopt.network import BinarizedNetwork

__all__ = ["from_torch", "read_module", "read_torch"]

Array = npt.NDArray[Any]

MOST_BYTES = 2**28
"""Of all tensors of a batch that is compared."""


def from_torch(
    module: Any,
    example: Any,
    *,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
    check: npt.ArrayLike | int = 200,
) -> BinarizedNetwork:
    """Read a binarized network from a torch module, and compare it with the module.

    The module runs once on one image, and every operation that sees something of the image is
    read; so its code may be whatever runs: layers of your own, functions, custom autograd
    functions, loops. Its weights may be binarized on the way. A copy of the module runs, in
    evaluation mode on the CPU; the module itself stays as it is.

    Parameters
    ----------
    module : torch.nn.Module
        Returns the logits, or a softmax or log-softmax of them.
    example : torch.Tensor or array_like, shape (batch, *shape)
        What the module takes: images as an exporter to ONNX would want them. Only the shape and
        the type count, float32 or float64.
    input_range : (number, number)
        What the module takes for black and white, pixels 0 and 1: (0, 255), (-1, 1), ...
    mean, std : array_like
        The module takes ``(value - mean) / std`` of a value in that range; one number, one a
        channel, or of the image's shape.
    levels : int
        Steps between black and white; 255 for 8-bit images.
    check : array_like of images, or int
        Images on which every neuron is compared with what the module gives; or how many to draw:
        random ones, and some that lie on thresholds. 0 compares nothing.

    Returns
    -------
    BinarizedNetwork
        Of images in [0, 1] of the example's shape.

    Raises
    ------
    NetworkFormatError
        If an operation is none of a binarized network's, with the place where it stands.
    ImportDisagreesError
        If the comparison finds a difference that rounding does not explain.

    Examples
    --------
    >>> network = bnnopt.from_torch(model, torch.zeros(1, 1, 28, 28))   # doctest: +SKIP
    """
    found = read_torch(module, example, input_range=input_range, mean=mean, std=std, levels=levels)
    from bnnopt.exchange.comparison.agreement import compared

    compared(found, check).raise_if_wrong()
    return found.network


def read_torch(
    module: Any,
    example: Any,
    *,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
) -> Imported:
    """Read a network from a torch module, with what is known about it; nothing is compared.

    Parameters are those of `from_torch`.
    """
    needs("torch", "reading torch modules", "torch")
    import torch

    if not isinstance(module, torch.nn.Module):
        raise InputError(f"a torch.nn.Module is needed, not a {type(module).__name__}")
    first = _first(example)
    return read_module(
        module,
        first,
        type(module).__name__,
        input_range=input_range,
        mean=mean,
        std=std,
        levels=levels,
    )


def read_module(
    module: Any,
    first: Any,
    name: str,
    *,
    input_range: Limits,
    mean: npt.ArrayLike,
    std: npt.ArrayLike,
    levels: int,
) -> Imported:
    """Read a module that takes a tensor of one image, and give the network a name."""
    from bnnopt.exchange.torch_modules.walk import walk

    about = FileInput("image", tuple(first.shape[1:]), np.dtype(first.numpy().dtype), None, True)
    image = image_of(about, input_range, mean, std, levels)
    running = _Running(module)
    recorder, output = running.run(first)
    found = walk(recorder, output, image)
    size = max(1, MOST_BYTES // max(recorder.bytes, 1))

    def evaluate(values: Array, names: list[str]) -> list[Array]:
        parts = [running.named(values[at : at + size], names) for at in range(0, len(values), size)]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    return finished(found, image, name, evaluate=evaluate)


def _first(example: Any) -> Any:
    """One image of the example, as a tensor of its own."""
    import torch

    try:
        given = torch.as_tensor(example)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"example must be a tensor of images: {error}") from None
    if given.ndim < 2 or 0 in given.shape:
        raise InputError(
            f"example must have the shape (batch, *shape), not {tuple(given.shape)}: "
            "torch.zeros(1, 784), say"
        )
    if given.dtype not in (torch.float32, torch.float64):
        raise InputError(f"example must be of float32 or float64, not {given.dtype}")
    return given[:1].detach().cpu().clone()


class _Running:
    """A copy of a module, in evaluation mode on the CPU, whose operations are recorded."""

    def __init__(self, module: Any) -> None:
        try:
            self._module = copy.deepcopy(module).cpu().eval()
        except (RuntimeError, TypeError) as error:
            raise NetworkFormatError(f"the module cannot be copied: {first_line(error)}") from None

    def run(self, batch: Any, wanted: list[str] | None = None) -> tuple[Any, Any]:
        """The record, and the output."""
        import torch

        from bnnopt.exchange.torch_modules.recording import Recorder

        recorder = Recorder(batch, wanted)
        handles = recorder.watch(self._module)
        try:
            with torch.no_grad(), recorder:
                output = self._module(batch)
        except NetworkFormatError:
            raise
        except Exception as error:  # noqa: BLE001 - a module's code raises anything
            shape = tuple(batch.shape)
            raise NetworkFormatError(
                f"the module does not run on images of shape {shape}: {first_line(error)}"
            ) from None
        finally:
            for handle in handles:
                handle.remove()
        if not isinstance(output, torch.Tensor):
            raise NetworkFormatError(
                f"the module returns a {type(output).__name__}: it must return the logits alone"
            )
        return recorder, output

    def named(self, values: Array, names: list[str]) -> list[Array]:
        """Tensors by name, a row an image."""
        import torch

        recorder, _ = self.run(torch.tensor(values), names)
        lacking = [name for name in names if name not in recorder.kept]
        if lacking:
            raise NetworkFormatError(
                f"the module computes no {lacking[0]!r} for a batch of {len(values)} images: its "
                "code must not depend on the batch"
            )
        return [recorder.kept[name].reshape(len(values), -1) for name in names]
