"""``--proof``, and ``bnnopt check-proof``: proofs of results, and what they prove."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np

from bnnopt.cli.exit_codes import FAILED
from bnnopt.cli.images import network_options, network_with_images
from bnnopt.cli.output import check_folder
from bnnopt.errors import InputError
from bnnopt.jobs import Job

__all__ = ["check_proof", "print_proofs", "proof_option", "with_proofs"]

PLACE = "{}"
"""What the index of an image replaces in the name of a proof's file."""

proof_option: Callable[..., Any] = click.option(
    "--proof", help="Write a proof of each result that is proved, such as proof-{}.gz."
)


def with_proofs(jobs: list[Job], name: str | None) -> list[Job]:
    """Jobs that write proofs, each to a file of its own.

    Raises
    ------
    InputError
        If several images would share one, or its folder is missing.
    """
    if name is None:
        return jobs
    check_folder(name, "--proof")
    if len(jobs) > 1 and PLACE not in name:
        raise InputError(f"--proof needs {PLACE} for the image's index, such as proof-{PLACE}.gz")
    return [job.having(proof=name.replace(PLACE, str(job.options["index"]))) for job in jobs]


def print_proofs(results: Iterable[Any], table: TextIO) -> None:
    """What became of each proof that was asked for."""
    for result in results:
        if result.proof is not None:
            print(f"image {result.image}: proof {result.proof}", file=table)


@click.command("check-proof")
@click.argument("network")
@click.argument("image")
@click.argument("proof")
@network_options
def check_proof(network: str, image: str, proof: str, **options: Any) -> None:
    """Check a PROOF about an IMAGE, a test image's index or an .npy file, and NETWORK.

    It prints what is proved, and exits with 1 where nothing is. The work is that of
    bnnopt/proof/check.py, which runs alone, too.
    """
    from bnnopt.proof.check import Rejected, check

    for name in (proof, *([image] if image.endswith(".npy") else [])):
        if not Path(name).is_file():
            raise InputError(f"{name} is not a file")
    loaded, source = network_with_images(network, options)
    if image.endswith(".npy"):
        pixels = Path(image).read_bytes()
    else:
        indices = source.indices(image)
        if len(indices) != 1:
            raise InputError(f"a proof is about one image: give one index, not {image!r}")
        stream = io.BytesIO()
        np.save(stream, source.at(indices).x(indices[0]))
        pixels = stream.getvalue()
    try:
        print("proved:", check(io.BytesIO(loaded.with_rows().to_bytes()), pixels, proof))
    except Rejected as error:
        print(f"rejected: {error}", file=sys.stderr)
        sys.exit(FAILED)
