"""Where data files lie: search, check by SHA-256, and download what is nowhere."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from bnnopt.datasets.catalog import DatasetSpec, FileSpec
from bnnopt.errors import DataError

__all__ = ["cache_folder", "content", "fetch", "folders", "locate"]

SYSTEM_FOLDER = Path("/usr/share/datasets")


def cache_folder() -> Path:
    """The user's cache, where downloads go."""
    import pooch

    return Path(pooch.os_cache("bnnopt"))


def folders(dataset: str) -> Iterator[Path]:
    """Folders that may hold `dataset`: ``$BNNOPT_DATA``, the system's, the user's cache."""
    own = os.environ.get("BNNOPT_DATA")
    if own:
        yield Path(own) / dataset
    yield SYSTEM_FOLDER / dataset
    yield cache_folder() / dataset


def locate(dataset: str, file: FileSpec) -> Path | None:
    """The first path that holds `file`, plain or with ``.gz``; None if there is none."""
    for folder in folders(dataset):
        for path in (folder / file.name, folder / f"{file.name}.gz"):
            if path.is_file():
                return path
    return None


def content(path: Path, file: FileSpec) -> bytes:
    """The uncompressed bytes of `path`, checked against `file`'s size and SHA-256.

    Raises
    ------
    DataError
        If the file cannot be read or is not the official one.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            found = stream.read(file.num_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): delete it and fetch it again") from None
    if hashlib.sha256(found).hexdigest() != file.sha256:
        raise DataError(
            f"{path} is not the official file (its SHA-256 differs): delete it and fetch it again"
        )
    return found


def fetch(dataset: DatasetSpec, file: FileSpec) -> Path:
    """Download `file` to the cache with a progress bar, check it, and return its path.

    Raises
    ------
    DataError
        Without a network, or if what came is not the official file.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    folder = cache_folder() / dataset.name
    name = f"{file.name}.gz"
    try:
        path = pooch.retrieve(
            dataset.url + name,
            known_hash=None,
            fname=name,
            path=folder,
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
        )
    except OSError as error:  # that of requests, or that of a cache which cannot be written
        of_web = isinstance(error, requests.RequestException)
        raise DataError(
            f"cannot download {name} of {dataset.name} from {dataset.url} "
            f"({type(error).__name__ if of_web else error}): put the file into {folder}, "
            f"or set BNNOPT_DATA to a folder with {dataset.name}/{name}"
        ) from None
    try:
        content(Path(path), file)
    except DataError:
        Path(path).unlink(missing_ok=True)
        raise
    return Path(path)
