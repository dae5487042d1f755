"""Files of networks and images made by others: where the user has them, or fetched, and checked.

`locate` looks in ``$BNNOPT_PEERS``, then in the user's cache, and then fetches the file from the
repository and commit that peer_files.toml names. None of them is a part of this project.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from bnnopt.datasets.files import cache_folder
from bnnopt.errors import DataError

__all__ = ["locate", "locate_folder"]

CATALOG = Path(__file__).with_name("peer_files.toml")
RAW = "https://raw.githubusercontent.com"


@cache
def _catalog() -> dict[str, Any]:
    return tomllib.loads(CATALOG.read_text())


def locate(suite: str, name: str) -> Path:
    """The path of a file of a suite.

    Raises
    ------
    DataError
        If it can be neither found nor fetched, or is not the published one.
    """
    source = _catalog()[suite]
    folders = [Path(os.environ["BNNOPT_PEERS"])] if os.environ.get("BNNOPT_PEERS") else []
    paths = [folder / suite / name for folder in (*folders, cache_folder() / "peers")]
    path = next((path for path in paths if path.is_file()), None) or _fetch(source, name, paths[-1])
    if hashlib.sha256(path.read_bytes()).hexdigest() != source["files"][name]:
        raise DataError(f"{path} is not the published file (its SHA-256 differs): fetch it again")
    return path


def locate_folder(suite: str, folder: str) -> Path:
    """The path of a folder of a suite, all of whose files are there."""
    names = [name for name in _catalog()[suite]["files"] if name.startswith(f"{folder}/")]
    roots = {locate(suite, name).parents[len(Path(name).parts) - 1] for name in names}
    if len(roots) != 1:
        raise DataError(f"the files of {folder} must lie in one folder, not in {len(roots)}")
    return roots.pop() / folder


def _fetch(source: dict[str, Any], name: str, path: Path) -> Path:
    import pooch

    inside = f"{source['folders'].get(Path(name).suffix, source['folders'].get('all', ''))}{name}"
    url = f"{RAW}/{source['repository']}/{source['commit']}/{inside}"
    try:
        found = pooch.retrieve(
            url, f"sha256:{source['files'][name]}", fname=path.name, path=path.parent
        )
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot fetch {url} ({type(error).__name__}): put the file into a folder "
            f"{path.parent.name}/ of $BNNOPT_PEERS"
        ) from None
    return Path(found)
