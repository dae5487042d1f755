"""How values show themselves in a notebook."""

from __future__ import annotations

import html

__all__ = ["Shown"]


class Shown:
    """Shown by its representation, which is short, with every text escaped."""

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"
