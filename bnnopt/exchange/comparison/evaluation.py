"""What a file gives for images, by onnxruntime or by what its reader names."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import needs, one_line
from bnnopt.exchange.imported import Imported

__all__ = ["evaluated"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

FATAL = 4
"""Of what onnxruntime says, all else is in its errors."""


def evaluated(imported: Imported, values: Array, names: list[str]) -> list[FloatArray]:
    """Tensors of the file by name, shape (images, numbers) each.

    Parameters
    ----------
    imported : Imported
    values : array, shape (images, *shape)
        What the file takes. Images go in one by one, if the file does not want several at once.
    names : list of str
    """
    if imported.evaluate is not None:
        return [part.astype(np.float64) for part in imported.evaluate(values, names)]
    try:
        run, size = _runner(imported, names), imported.about.batch or 1
        found = [run(part) for part in _groups(values, size)]
        joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    except NetworkFormatError:
        raise
    except Exception as error:  # noqa: BLE001  whatever onnxruntime raises
        text = one_line(f"onnxruntime does not run the file: {error}")
        raise NetworkFormatError(text) from None
    return [part[: len(values)].astype(np.float64) for part in joined]


def _groups(values: Array, size: int) -> list[Array]:
    """Batches of a size, the last one filled up."""
    groups = [values[at : at + size] for at in range(0, len(values), size)]
    short = size - len(groups[-1])
    groups[-1] = np.concatenate([groups[-1], np.repeat(groups[-1][:1], short, axis=0)])
    return groups


def _runner(imported: Imported, names: list[str]) -> Any:
    """What takes a batch, and gives tensors of shape (batch, numbers)."""
    needs("onnxruntime", "comparing a network with its file")
    import onnx
    import onnxruntime

    from bnnopt.exchange.onnx_files.custom import with_custom

    model = with_custom(imported.model)
    there = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in there
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    about = imported.about

    def run(batch: Array) -> list[Array]:
        fed = batch if about.has_batch else batch[0]
        return [_by_image(part, len(batch)) for part in session.run(names, {about.name: fed})]

    return run


def _by_image(result: Array, count: int) -> Array:
    if count > 1 and result.shape[:1] != (count,):
        raise NetworkFormatError(
            f"it is written for batches of {count} images, and gives a tensor of {result.shape}"
        )
    return np.reshape(result, (count, -1))
