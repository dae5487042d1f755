from __future__ import annotations

import gzip
import hashlib
import http.server
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import datasets
from bnnopt.datasets import catalog, files
from bnnopt.datasets.idx import parse_idx
from bnnopt.errors import DataError, InputError, UnknownNameError
from tests.conftest import has_data

IMAGE_FILE = "t10k-images-idx3-ubyte"


def idx(array: np.ndarray) -> bytes:
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A data set 'tiny' of 3 images, whose checksums are right; the files by name."""
    images = np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28)
    content = {"images": idx(images), "labels": idx(np.array([1, 2, 3], dtype=np.uint8))}
    sums = {
        (split, kind): hashlib.sha256(data).hexdigest()
        for split in ("train", "test")
        for kind, data in content.items()
    }
    spec = replace(catalog.spec("mnist"), name="tiny", sha256=sums)
    monkeypatch.setitem(catalog.CATALOG, "tiny", spec)
    monkeypatch.setattr(catalog, "COUNTS", {"train": 3, "test": 3})
    return {
        file.name: content[file.name.split("-")[1]]
        for split in ("train", "test")
        for file in spec.files(split)  # type: ignore[arg-type]
    }


def lay(folder: Path, content: dict[str, bytes], compress: bool) -> None:
    (folder / "tiny").mkdir(parents=True)
    for name, data in content.items():
        path = folder / "tiny" / (f"{name}.gz" if compress else name)
        path.write_bytes(gzip.compress(data) if compress else data)


@pytest.mark.parametrize("compress", [True, False])
def test_a_data_set_is_found_plain_or_compressed(
    small: dict[str, bytes],
    no_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    compress: bool,
) -> None:
    lay(tmp_path / "own", small, compress)
    monkeypatch.setenv("BNNOPT_DATA", str(tmp_path / "own"))
    data = datasets.load("tiny", "test")
    assert data.images.shape == (3, 28, 28)
    assert data.labels.tolist() == [1, 2, 3]
    assert data.x(0).max() == data.images[0].max() / 255


def test_folders_are_searched_in_the_documented_order(
    small: dict[str, bytes], no_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, system = tmp_path / "own", tmp_path / "system"
    monkeypatch.setenv("BNNOPT_DATA", str(own))
    for folder in (no_data, system, own):
        lay(folder, small, compress=True)
        found = datasets.where("tiny")[IMAGE_FILE]
        assert found == str(folder / "tiny" / f"{IMAGE_FILE}.gz")


def test_a_damaged_file_is_refused_by_its_checksum(small: dict[str, bytes], no_data: Path) -> None:
    lay(no_data, small, compress=True)
    path = no_data / "tiny" / f"{IMAGE_FILE}.gz"
    whole = small[IMAGE_FILE]
    for content in (
        gzip.compress(whole[:-1] + b"\xff"),
        gzip.compress(whole + b"\0"),
        gzip.compress(bytes(10**7)),
        path.read_bytes()[:50],
        b"junk",
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match="delete it"):
            datasets.load("tiny", "test")


@pytest.fixture
def server(small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A web server on this machine that serves the data set; what it serves can be changed."""
    served = {f"/{name}.gz": gzip.compress(data) for name, data in small.items()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = served.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args: object) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}/"
    monkeypatch.setitem(catalog.CATALOG, "tiny", replace(catalog.CATALOG["tiny"], url=url))
    yield served
    web.shutdown()
    web.server_close()


def test_a_missing_data_set_is_downloaded_to_the_cache_once(
    server: dict[str, bytes], no_data: Path
) -> None:
    assert set(datasets.where("tiny").values()) == {None}
    paths = datasets.fetch("tiny")
    assert len(paths) == 4
    assert all(Path(path).parent == no_data / "tiny" for path in paths.values())
    server.clear()
    assert datasets.load("tiny", "train").labels.tolist() == [1, 2, 3]
    assert datasets.fetch("tiny") == paths


def test_a_download_that_is_not_the_official_file_is_not_kept(
    server: dict[str, bytes], no_data: Path
) -> None:
    server[f"/{IMAGE_FILE}.gz"] = gzip.compress(b"another file")
    with pytest.raises(DataError, match="SHA-256"):
        datasets.load("tiny", "test")
    assert datasets.where("tiny")[IMAGE_FILE] is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://host.invalid/"])
def test_without_a_network_the_error_says_what_to_do(
    small: dict[str, bytes], no_data: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setitem(catalog.CATALOG, "tiny", replace(catalog.CATALOG["tiny"], url=url))
    with pytest.raises(DataError, match="set BNNOPT_DATA") as caught:
        datasets.load("tiny", "test")
    assert "\n" not in str(caught.value)


def test_the_embedded_images_need_no_data_set(no_data: Path) -> None:
    images = datasets.for_indices("fashion-mnist", [0, 99])
    assert images.images.shape == (100, 28, 28)
    assert images.labels[:4].tolist() == [9, 2, 1, 1]


@pytest.mark.skipif(not has_data("fashion-mnist"), reason="Fashion-MNIST is not on this machine")
def test_the_embedded_images_are_the_first_of_the_test_set() -> None:
    embedded, whole = datasets.embedded(), datasets.load("fashion-mnist", "test")
    assert np.array_equal(embedded.images, whole.images[:100])
    assert np.array_equal(embedded.labels, whole.labels[:100])
    with pytest.raises(InputError, match="0 to 9999"):
        datasets.for_indices("fashion-mnist", [10_000])


@pytest.mark.parametrize("name", datasets.NAMES)
def test_the_official_files_have_the_stated_checksums_and_shapes(name: str) -> None:
    if not has_data(name):
        pytest.skip(f"{name} is not on this machine")
    assert datasets.load(name, "train").images.shape == (60_000, 28, 28)
    assert len(datasets.load(name, "test")) == 10_000


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'fashion-mnist'"):
        datasets.load("fashion-mnst")
    with pytest.raises(UnknownNameError, match="train, test"):
        datasets.load("mnist", "validation")  # type: ignore[arg-type]


@given(content=st.binary(max_size=60))
def test_bytes_that_are_no_idx_file_are_refused(content: bytes) -> None:
    try:
        array = parse_idx(content)
    except DataError:
        return
    assert array.size == len(content) - 4 - 4 * content[3]


def test_an_idx_file_keeps_its_shape() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(parse_idx(idx(array)), array)
    with pytest.raises(DataError):
        parse_idx(idx(array)[:-1])


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder().name == "bnnopt"
