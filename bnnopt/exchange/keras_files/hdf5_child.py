"""A program that reads arrays of an HDF5 file: `bnnopt.exchange.keras_files.hdf5` starts it.

It stands alone, so that it starts soon: the file comes by the standard input, names of groups as
arguments, and arrays go to the output as ``.npz``.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MOST_NUMBERS = 2**27
"""Of all arrays together."""

MOST_OBJECTS = 100_000
REFUSED = 3
"""The exit code with a reason in the standard error."""


class RefusedError(Exception):
    """With the reason."""


def main() -> None:
    """Read the file that stands in the standard input, and write its arrays to the output."""
    try:
        config, arrays = _read(sys.stdin.buffer.read(), sys.argv[1:])
    except RefusedError as error:
        sys.stderr.write(str(error))
        sys.exit(REFUSED)
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
    ) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        sys.stderr.write(f"it is no model of Keras, or damaged: {reason}")
        sys.exit(REFUSED)
    about = json.dumps({"config": config, "paths": list(arrays)}).encode()
    named = {f"array {number}": array for number, array in enumerate(arrays.values())}
    stream = io.BytesIO()
    np.savez(stream, about=np.frombuffer(about, dtype=np.uint8), **named)  # type: ignore[arg-type]
    sys.stdout.buffer.write(stream.getvalue())


def _read(content: bytes, groups: list[str]) -> tuple[str | None, dict[str, Array]]:
    with h5py.File(io.BytesIO(content), "r") as file:
        config = file.attrs.get("model_config")
        text = config.decode() if isinstance(config, bytes) else config
        arrays: dict[str, Array] = {}
        total = 0
        for group in groups:
            for path, dataset in _datasets(file, group) if group in file else ():
                total += math.prod(dataset.shape or ())
                if total > MOST_NUMBERS:
                    raise RefusedError(f"its weights have more than {MOST_NUMBERS} numbers")
                arrays[path] = _numbers(path, dataset)
        return None if text is None else str(text), arrays


def _datasets(file: Any, top: str) -> Iterator[tuple[str, Any]]:
    """All below a group, in this file: links to elsewhere are refused, and circles too."""
    left, count = [top], 0
    while left:
        path = left.pop()
        count += 1
        if count > MOST_OBJECTS:
            raise RefusedError(f"it has more than {MOST_OBJECTS} groups and arrays")
        if not isinstance(file.get(path, getlink=True), h5py.HardLink):
            raise RefusedError(f"{path!r} is a link to elsewhere")
        found = file[path]
        if isinstance(found, h5py.Dataset):
            yield path, found
        else:
            left += [f"{path}/{name}" for name in found]


def _numbers(path: str, dataset: Any) -> Array:
    if dataset.external or dataset.is_virtual:
        raise RefusedError(f"the numbers of {path!r} lie in another file")
    if dataset.dtype.kind not in "fiub":
        raise RefusedError(f"{path!r} holds {dataset.dtype}, no numbers")
    values = np.asarray(dataset[()], dtype=np.float32)
    if not np.isfinite(values).all():
        raise RefusedError(f"{path!r} holds numbers that are not finite")
    return values


if __name__ == "__main__":
    main()
