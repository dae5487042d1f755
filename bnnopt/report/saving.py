"""Figures as files, whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bnnopt.files import write_atomically

__all__ = ["save"]


def save(figure: Figure, path: str | os.PathLike[str], **options: Any) -> bytes:
    """Draw a figure and write it; return the file's content.

    Parameters
    ----------
    figure : Figure
    path : path
        Its ending picks the format.
    options
        Of ``Figure.savefig``.

    Raises
    ------
    OSError
        If it cannot be written; what was there before stays.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format=Path(path).suffix[1:], **options)
    write_atomically(path, stream.getvalue())
    return stream.getvalue()
