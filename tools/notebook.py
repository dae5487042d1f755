"""Run a notebook of docs from top to bottom, and keep its outputs in it.

``python -m tools.notebook docs/notebooks/first-attack.ipynb`` does what "run all" does elsewhere,
and needs no notebook program: in a fresh namespace and an empty folder the cells run in order; what
they print is kept, and the value of each one's last line in the forms it has (HTML, PNG, text).
"""

from __future__ import annotations

import ast
import base64
import io
import json
import sys
import tempfile
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

__all__ = ["code_cells", "main", "run"]

FORMS = {"text/html": "_repr_html_", "image/png": "_repr_png_"}


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that run, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any]) -> None:
    """Run all cells in the current folder, and replace the outputs of each.

    Parameters
    ----------
    notebook : dict
        As `json.load` reads it from an ``.ipynb`` file.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(notebook), start=1):
        cell["execution_count"] = number
        cell["outputs"] = _outputs("".join(cell["source"]), number, namespace)


def _outputs(source: str, number: int, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(ast.Module(body, []), f"cell {number}", "exec"), namespace)
        if isinstance(last, ast.Expr):
            expression = ast.Expression(last.value)
            value = eval(compile(expression, f"cell {number}", "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append(
            {"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())}
        )
    if value is not None:
        outputs.append(
            {
                "output_type": "execute_result",
                "execution_count": number,
                "metadata": {},
                "data": _forms(value),
            }
        )
    return outputs


def _forms(value: Any) -> dict[str, Any]:
    forms: dict[str, Any] = {"text/plain": _lines(repr(value))}
    for kind, method in FORMS.items():
        shown = getattr(value, method, lambda: None)()
        if isinstance(shown, bytes):
            forms[kind] = base64.b64encode(shown).decode()
        elif shown is not None:
            forms[kind] = _lines(shown)
    return forms


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main(paths: list[str]) -> None:
    """Run the notebooks at these paths, and write each one back."""
    for path in map(Path, paths):
        notebook = json.loads(path.read_text())
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            run(notebook)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
