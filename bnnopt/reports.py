"""The results of many images: a sequence that prints as a table and saves itself."""

from __future__ import annotations

import io
import json
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from bnnopt.certify import Certificate, Robustness
from bnnopt.counts import counted
from bnnopt.errors import InputError, MissingDependencyError
from bnnopt.files import write_atomically
from bnnopt.jobs import Failure
from bnnopt.result import AttackResult
from bnnopt.rounded import at_least
from bnnopt.tables import attack_counts, attack_row, html_table, percent, text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AttackReport", "RobustnessReport", "verdict_row"]

Found = TypeVar("Found", AttackResult, Certificate)

SHOWN = 60
"""Rows that a notebook shows; `to_frame` has them all."""

ENDINGS = (".jsonl", ".csv", ".npz")


@dataclass(frozen=True, eq=False, repr=False)
class _Report(Sequence[Found], Generic[Found]):
    """Results in the order of their images.

    Parameters
    ----------
    results : tuple
    failures : tuple of Failure
        Images that brought no result, and why.
    interrupted : bool
        Whether Ctrl-C ended the work; what was finished is there.
    """

    results: tuple[Found, ...]
    failures: tuple[Failure, ...] = field(default=())
    interrupted: bool = False

    @overload
    def __getitem__(self, index: int) -> Found: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Found, ...]: ...
    def __getitem__(self, index: int | slice) -> Found | tuple[Found, ...]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Found]:
        return iter(self.results)

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """A table's rows, one an image."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """One line."""

    def __str__(self) -> str:
        lines = [text_table(self.rows()), "", self.summary] if len(self) else [self.summary]
        result: AttackResult | Certificate
        for result in self.results:
            told = (*result.notes, result.message)
            lines += [f"image {result.image}: {note}" for note in told if note]
        lines += [f"image {failure.image}: {failure.error}" for failure in self.failures]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary})"

    def _repr_html_(self) -> str:
        rest = len(self) - SHOWN
        more = f"; {counted(rest, 'more row')} in to_frame()" if rest > 0 else ""
        return html_table(self.rows()[:SHOWN], self.summary + more)

    def to_frame(self) -> pd.DataFrame:
        """A pandas table of the records, one row an image.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingDependencyError("pandas", "to_frame", "report") from None
        return pd.DataFrame([result.as_dict() for result in self])

    def images(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Adversarial images that flip the prediction, and the labels (or sources) of theirs.

        Returns
        -------
        images : array of float64, shape (count, *input_shape)
        labels : array of int64, shape (count,)
        """
        flips = [r for r in self if _is_flip(r)]
        labels = [r.source if r.label is None else r.label for r in flips]
        found = [np.asarray(r.adversarial) for r in flips]
        return np.array(found), np.array(labels, dtype=np.int64)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the results to a file, whole or not at all.

        Parameters
        ----------
        path : path
            ``.jsonl``: the JSON records, one a line; ``.csv``: the same as a table; ``.npz``: the
            adversarial images that flip, with arrays ``images`` and ``labels``, as ``--data``
            takes them.

        Raises
        ------
        InputError
            If the name ends otherwise.
        """
        name = os.fspath(path)
        if name.endswith(".jsonl"):
            lines = "".join(json.dumps(result.as_dict()) + "\n" for result in self)
            write_atomically(path, lines.encode())
        elif name.endswith(".csv"):
            write_atomically(path, self.to_frame().to_csv(index=False).encode())
        elif name.endswith(".npz"):
            images, labels = self.images()
            stream = io.BytesIO()
            np.savez_compressed(stream, images=images, labels=labels)
            write_atomically(path, stream.getvalue())
        else:
            raise InputError(f"{name} must end in one of {', '.join(ENDINGS)}")


def _is_flip(result: AttackResult | Certificate) -> bool:
    if isinstance(result, AttackResult):
        return result.flipped
    return result.verdict is Robustness.VULNERABLE


class AttackReport(_Report[AttackResult]):
    """The results of `bnnopt.attack_images`.

    Parameters
    ----------
    results : tuple of AttackResult
        In the order of the images.
    failures : tuple of Failure
        Images that brought no result, and why.
    interrupted : bool
        Whether Ctrl-C ended the work; what was finished is there.
    """

    def rows(self) -> list[dict[str, Any]]:
        """A table's rows, one an image."""
        return [attack_row(result) for result in self]

    @property
    def summary(self) -> str:
        """One line."""
        return attack_counts(self)


class RobustnessReport(_Report[Certificate]):
    """The verdicts of `bnnopt.certify_images`.

    Shares are of all images in it, whatever became of them.

    Parameters
    ----------
    results : tuple of Certificate
        In the order of the images.
    failures : tuple of Failure
        Images that brought no verdict, and why.
    interrupted : bool
        Whether Ctrl-C ended the work; what was finished is there.
    """

    def rows(self) -> list[dict[str, Any]]:
        """A table's rows, one an image."""
        return [verdict_row(certificate) for certificate in self]

    def count(self, verdict: Any) -> int:
        """How many images have a verdict: ``"robust"``, ``"vulnerable"`` or ``"unknown"``.

        Parameters
        ----------
        verdict : {"robust", "vulnerable", "unknown"} or Robustness
            Which to count.
        """
        return Counter(certificate.verdict for certificate in self)[Robustness(verdict)]

    @property
    def robust(self) -> int:
        """Images that keep the class that is predicted for them, right or wrong: proved."""
        return self.count(Robustness.ROBUST)

    @property
    def vulnerable(self) -> int:
        """Images of which a changed one that gets another class was found and replayed."""
        return self.count(Robustness.VULNERABLE)

    @property
    def unknown(self) -> int:
        """Images of which neither was found out."""
        return self.count(Robustness.UNKNOWN)

    @property
    def clean_accuracy(self) -> float | None:
        """Share of images that are predicted right; None where a label is missing."""
        return self._share(self._right())

    @property
    def certified_accuracy(self) -> float | None:
        """Share of images that are predicted right and proved robust; None without labels."""
        return self._share([c for c in self._right() if c.verdict is Robustness.ROBUST])

    def _right(self) -> list[Certificate]:
        return [c for c in self if c.label == c.source]

    def _share(self, part: Sequence[Certificate]) -> float | None:
        if not len(self) or any(c.label is None for c in self):
            return None
        return len(part) / len(self)

    @property
    def summary(self) -> str:
        """One line."""
        counts = ", ".join(f"{self.count(v)} {v.value}" for v in Robustness)
        line = f"{counted(len(self), 'image')}: {counts}"
        if self.clean_accuracy is None:
            return line
        right = self._right()
        safe = sum(c.verdict is Robustness.ROBUST for c in right)
        return (
            f"{line}; clean accuracy {percent(len(right), len(self))}, "
            f"certified accuracy {percent(safe, len(self))}"
        )


def verdict_row(certificate: Certificate) -> dict[str, Any]:
    """One row of a table of verdicts."""
    flipped = certificate.target is not None
    return {
        "image": "" if certificate.image is None else certificate.image,
        "label": "" if certificate.label is None else certificate.label,
        "source": certificate.source,
        "verdict": certificate.verdict.value,
        "flips to": certificate.target if flipped else "",
        "margin": at_least(certificate.margin),
        "classes ruled out": sum(v is Robustness.ROBUST for v in certificate.classes.values()),
        "seconds": f"{certificate.wall_time:.1f}",
    }
