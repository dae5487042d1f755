"""Colours of figures, which follow the reader's light or dark screen."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

__all__ = ["DARK", "INK", "PAPER", "QUIET", "themed_svg"]

INK, QUIET, GRID, PAPER = "#1b1b1b", "#767676", "#dcdcdc", "#fefefe"
"""Text and axes, asides, grid lines, and what lies behind; `bnnopt.mplstyle` has them too."""

DARK = {
    INK: "#e8e8e8",
    QUIET: "#9a9a9a",
    GRID: "#3b3f45",
    PAPER: "#16181c",
    "#0072b2": "#3a9ad9",
    "#56b4e9": "#a5daf7",
}
"""What each becomes on a dark screen, and the two blues; other colours of series stay."""


def themed_svg(figure: Figure) -> bytes:
    """A figure as SVG whose ink is light where the reader's screen is dark.

    Parameters
    ----------
    figure : Figure
        Drawn in the colours of `bnnopt.mplstyle`.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    drawn = stream.getvalue()
    names = {color: f"--c{number}" for number, color in enumerate(DARK)}
    for color, name in names.items():
        drawn = drawn.replace(color, f"var({name})")
    light = "".join(f"{name}:{color};" for color, name in names.items())
    dark = "".join(f"{name}:{DARK[color]};" for color, name in names.items())
    style = f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return drawn.replace("<defs>", f"<defs><style>{style}</style>", 1).encode()
