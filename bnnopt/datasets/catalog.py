"""Which data sets there are: their files, checksums, sources and class names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bnnopt.errors import UnknownNameError

__all__ = ["CATALOG", "LEVELS", "NAMES", "SPLITS", "DatasetSpec", "FileSpec", "Split", "spec"]

Split = Literal["train", "test"]
SPLITS: dict[str, str] = {"train": "train", "test": "t10k"}
COUNTS = {"train": 60_000, "test": 10_000}
IMAGE_SHAPE = (28, 28)

LEVELS = 255
"""Steps between black and white in the bytes of all these sets."""


@dataclass(frozen=True)
class FileSpec:
    """One IDX file: its name without ``.gz``, and the SHA-256 of its uncompressed bytes."""

    name: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True)
class DatasetSpec:
    """A data set of 28x28 grey images in ten classes, 60,000 for training and 10,000 for test."""

    name: str
    url: str
    class_names: tuple[str, ...]
    sha256: dict[tuple[str, str], str]

    def files(self, split: Split) -> tuple[FileSpec, FileSpec]:
        """The image file and the label file of a split."""
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        prefix, count = SPLITS[split], COUNTS[split]
        pixels = IMAGE_SHAPE[0] * IMAGE_SHAPE[1]
        return (
            FileSpec(
                f"{prefix}-images-idx3-ubyte", self.sha256[split, "images"], 16 + count * pixels
            ),
            FileSpec(f"{prefix}-labels-idx1-ubyte", self.sha256[split, "labels"], 8 + count),
        )


CATALOG = {
    spec.name: spec
    for spec in (
        DatasetSpec(
            "mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            tuple("0123456789"),
            {
                ("train", "images"): (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
                ),
                ("train", "labels"): (
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
                ),
                ("test", "images"): (
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
                ),
                ("test", "labels"): (
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
                ),
            },
        ),
        DatasetSpec(
            "fashion-mnist",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            (
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            {
                ("train", "images"): (
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
                ),
                ("train", "labels"): (
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
                ),
                ("test", "images"): (
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
                ),
                ("test", "labels"): (
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
                ),
            },
        ),
    )
}
NAMES = tuple(CATALOG)


def spec(name: str) -> DatasetSpec:
    """The data set of that name.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in CATALOG:
        raise UnknownNameError("data set", name, NAMES)
    return CATALOG[name]
