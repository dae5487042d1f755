"""``bnnopt vnnlib``: sat, unsat, unknown or timeout, as VNN-COMP asks for it."""

from __future__ import annotations

import sys

import click

__all__ = ["vnnlib"]


@click.command()
@click.argument("network")
@click.argument("specification")
@click.option("--time-limit", default=180.0, show_default=True, help="Seconds, reading included.")
@click.option("--threads", default=1, show_default=True, help="Of branch and bound.")
@click.option("--seed", default=0, show_default=True)
def vnnlib(network: str, specification: str, time_limit: float, threads: int, seed: int) -> None:
    """Decide whether NETWORK, an ONNX file, has a counterexample of SPECIFICATION, a VNN-LIB file.

    The first line is sat, unsat, unknown or timeout; the counterexample follows. What stayed open,
    and why, goes to stderr. Both files may be in .gz.
    """
    from bnnopt.exchange.counterexamples import decide

    answer = decide(network, specification, time_limit=time_limit, threads=threads, seed=seed)
    print(answer.text)
    for note in answer.notes:
        print(f"bnnopt: {note}", file=sys.stderr)
