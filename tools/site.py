"""Hooks of the documentation's site (mkdocs.yml): notebooks are pages, and it names its source.

A notebook's page is what is in the file: cells, and the outputs that they have. Nothing is run.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

__all__ = ["markdown", "on_files", "on_page_markdown", "on_page_read_source"]

NOTEBOOK = ".ipynb"
SOURCE = re.compile(r"\[([^\]]+)\]\(\.\./README\.md\)")
"""A link to README from a page: in the repository it leads there, on the site to the repository."""


class NotebookFile(File):
    """A notebook, which becomes a page."""

    def is_documentation_page(self) -> bool:
        """Yes, though it is no Markdown file."""
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make pages of the notebooks."""
    for file in list(files):
        if file.src_uri.endswith(NOTEBOOK):
            files.remove(file)
            page = NotebookFile(
                file.src_uri, config.docs_dir, config.site_dir, config.use_directory_urls
            )
            files.append(page)
    return files


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """The text of a notebook's page; None for all others, which mkdocs reads."""
    if not page.file.src_uri.endswith(NOTEBOOK):
        return None
    return markdown(json.loads(page.file.content_string))


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to the source to where this repository was cloned from, if that is a web page."""
    address = _origin(Path(config.docs_dir))
    return SOURCE.sub(rf"[\1]({address})" if address else r"\1", text)


def _origin(folder: Path) -> str:
    """The https address of a clone's origin, or nothing."""
    command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        return ""
    address = re.sub(r"^(?:ssh://)?git@([^/:]+)[:/]", r"https://\1/", told)
    address = re.sub(r"^https://[^/@]*@", "https://", address)  # without a password
    return address.removesuffix(".git") if address.startswith("https://") else ""


def markdown(notebook: dict[str, Any]) -> str:
    """A notebook as a page: its text, its code, and what is kept of each cell's output.

    Parameters
    ----------
    notebook : dict
        As `json.load` reads it from an ``.ipynb`` file.
    """
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [_shown(output, source) for output in cell["outputs"]]
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any], source: str) -> str:
    """The best form that an output has: a picture, HTML, text."""
    if "text" in output:
        return _text(output["text"])
    forms = output["data"]
    if "image/png" in forms:
        picture = "".join(forms["image/png"]).replace("\n", "")
        said = html.escape(source.splitlines()[-1])
        return f'<p><img alt="{said}" src="data:image/png;base64,{picture}"></p>'
    if "text/html" in forms:
        # A blank line would end the HTML, and the style of a table is the site's.
        shown = re.sub(r"<style.*?</style>|\n\s*", "", "".join(forms["text/html"]), flags=re.DOTALL)
        shown = re.sub(r"<table[^>]*>", "<table>", shown)
        return f'<div class="output">{shown}</div>'
    return _text(forms["text/plain"])


def _text(lines: list[str]) -> str:
    return f"```text\n{''.join(lines).rstrip()}\n```"
