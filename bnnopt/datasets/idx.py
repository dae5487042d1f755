"""The IDX format of MNIST: a big-endian header of sizes, then unsigned bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bnnopt.errors import DataError

__all__ = ["parse_idx"]


def parse_idx(content: bytes) -> npt.NDArray[np.uint8]:
    """Decode an IDX file of unsigned bytes.

    Returns
    -------
    array of uint8
        Of the shape that the header gives.

    Raises
    ------
    DataError
        If the header is not IDX, not of bytes, or does not match the length.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DataError("not an IDX file of unsigned bytes")
    dimensions = content[3]
    offset = 4 + 4 * dimensions
    if len(content) < offset:
        raise DataError("the IDX header is cut off")
    shape = [int(side) for side in np.frombuffer(content, dtype=">u4", count=dimensions, offset=4)]
    count = 1
    for side in shape:
        count *= side
    if count != len(content) - offset:
        raise DataError(f"the IDX file declares {count} bytes and holds {len(content) - offset}")
    try:
        return np.frombuffer(content, dtype=np.uint8, offset=offset).reshape(shape)
    except ValueError as error:
        raise DataError(f"the IDX file has a shape that is too large: {error}") from None
