"""``bnnopt campaign``: run a grid of attacks, watch it, replay it, report it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click
from tabulate import tabulate
from tqdm import tqdm

from bnnopt.campaign.cell import most_seconds
from bnnopt.campaign.data import OwnData
from bnnopt.campaign.spec import CampaignSpec, load_spec
from bnnopt.campaign.status import campaign_status
from bnnopt.campaign.store import Store
from bnnopt.campaign.workers import Workers
from bnnopt.cli.exit_codes import FAILED, INTERRUPTED
from bnnopt.cli.output import check_folder, make_folder
from bnnopt.counts import counted
from bnnopt.errors import InputError
from bnnopt.tables import percent

__all__ = ["campaign"]

REDRAW_SECONDS = 10.0
"""How often the progress bar is written where nobody watches it."""


@click.group()
def campaign() -> None:
    """Run a grid of attacks that a TOML file describes; resume it, check it, report it."""


@campaign.command()
@click.argument("spec")
@click.option("--store", help="The SQLite file of the results; made if it is not there.")
@click.option("--workers", type=int, help="Processes on this machine.  [default: 1]")
@click.option("--scheduler", help="A Dask scheduler instead, such as tcp://host:8786.")
@click.option("--dry-run", is_flag=True, help="Only count the cells, and the most time.")
def run(
    spec: str, store: str | None, workers: int | None, scheduler: str | None, dry_run: bool
) -> None:
    """Run every cell of SPEC that the store does not have yet."""
    if workers is not None and workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    if workers is not None and scheduler is not None:
        raise InputError("--workers and --scheduler exclude each other: give one")
    loaded = load_spec(spec)
    if dry_run:
        print(_estimate(loaded, workers or 1))
        return
    if store is None:
        raise InputError("--store is missing: give the file that keeps the results")
    check_folder(store, "--store")
    with Store(store, create=True) as opened:
        _run(loaded, opened, workers or 1, scheduler)


def _run(spec: CampaignSpec, store: Store, count: int, scheduler: str | None) -> None:
    from bnnopt.campaign.runner import Tally, run_campaign

    if isinstance(spec.data, OwnData) and store.has_other(spec.data):
        print(
            f"bnnopt: {spec.data.images.name} is not what it was in an earlier run on this store: "
            "its images are cells of their own, and the earlier ones stay",
            file=sys.stderr,
        )
    with tqdm(
        unit="cell",
        file=sys.stderr,
        dynamic_ncols=True,
        mininterval=0.5 if sys.stderr.isatty() else REDRAW_SECONDS,
    ) as bar:

        def show(tally: Tally) -> None:
            if bar.total is None:
                bar.reset(tally.total)
                bar.initial = bar.n = tally.done + tally.failed
            bar.set_postfix(failed=tally.failed, refresh=False)
            bar.update(tally.done + tally.failed - bar.n)

        try:
            tally = run_campaign(spec, store, _workers(count, scheduler), progress=show)
        except KeyboardInterrupt:
            bar.close()
            print(
                f"bnnopt: interrupted; what is finished is in {store.path}, and the same command "
                "goes on",
                file=sys.stderr,
            )
            sys.exit(INTERRUPTED)
    done = f"{tally.done} done, {tally.failed} failed"
    print(f"{counted(tally.total, 'cell')}: {done}; store: {store.path}")
    for error, times in Counter(row.error for row in store.rows() if row.state == "failed").items():
        print(f"{times} failed: {error}", file=sys.stderr)
    if tally.failed:
        sys.exit(FAILED)


def _workers(count: int, scheduler: str | None) -> Workers:
    if scheduler is not None:
        from bnnopt.campaign.dask import DaskWorkers

        return DaskWorkers(scheduler)
    from bnnopt.campaign.local import LocalWorkers

    return LocalWorkers(count)


def _estimate(spec: CampaignSpec, workers: int) -> str:
    """A row a method: cells, and the hours that they take at most."""
    counts = Counter(planned.attack for planned in spec.cells())
    hours = {
        m.name: counts[m.name] * most_seconds(m.time_limit, m.proof) / 3600 for m in spec.methods
    }
    rows = [
        {"attack": name, "cells": counts[name], "hours at most": f"{hours[name]:.1f}"}
        for name in hours
    ]
    total = sum(hours.values())
    return (
        f"{tabulate(rows, headers='keys', disable_numparse=True)}\n\n"
        f"{counted(counts.total(), 'cell')}, at most {total:.1f} hours of work: "
        f"{total / workers:.1f} hours on {counted(workers, 'worker')}"
    )


@campaign.command()
@click.argument("store")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(store: str, as_json: bool) -> None:
    """Say how far the campaign in STORE is, also while it runs."""
    with Store(store) as opened:
        found = campaign_status(opened)
    if as_json:
        print(json.dumps(asdict(found)))
        return
    rows = [asdict(attack) | {"seconds": f"{attack.seconds:.0f}"} for attack in found.attacks]
    print(tabulate(rows, headers="keys"))
    for attack in found.attacks:
        if attack.robust and attack.done:
            print(
                f"{attack.attack}: certified {percent(attack.certified, attack.done)} of "
                f"{counted(attack.done, 'cell')}"
            )
    left = f", about {found.unfinished / found.rate / 60:.0f} min left" if found.rate else ""
    print(
        f"\n{counted(found.unfinished, 'cell')} unfinished; "
        f"{counted(found.runners, 'runner')} alive; {found.rate:.2f} cells/s of late{left}; "
        f"failures and lost workers so far: {found.failures}"
    )
    for error in found.errors:
        print(f"failed: {error}")


@campaign.command()
@click.argument("store")
def check(store: str) -> None:
    """Replay every result in STORE through its network; exit 1 if one does not hold."""
    from bnnopt.campaign.check import check_store

    replayed = wrong = 0
    with Store(store) as opened:
        bar = tqdm(
            check_store(opened),
            total=1 + len(opened.states()),
            unit="cell",
            file=sys.stderr,
            disable=None,  # on a terminal: proofs take seconds each
        )
        for row, complaints in bar:
            replayed += row is not None and row.record is not None
            wrong += bool(complaints)
            where = "the store" if row is None else f"cell {row.key[:12]} ({row.attack})"
            for complaint in complaints:
                print(f"{where}: {complaint}")
    mismatches = counted(wrong, "mismatch") if wrong else "no mismatch"
    print(f"{counted(replayed, 'result')} replayed: {mismatches}")
    if wrong:
        sys.exit(FAILED)


@campaign.command()
@click.argument("store")
@click.option("--out", required=True, help="A folder.")
def proofs(store: str, out: str) -> None:
    """Write the proofs in STORE to files, with check.py and all that it needs to check them."""
    from bnnopt.campaign.proof_export import export_proofs

    with Store(store) as opened:
        make_folder(out, "--out")
        print(f"{out}: {counted(export_proofs(opened, Path(out)), 'proof')}")


@campaign.command()
@click.argument("store")
@click.option("--out", required=True, help="A file that ends in .csv or .parquet.")
def export(store: str, out: str) -> None:
    """Write the cells of STORE as a table, a row each."""
    from bnnopt.campaign.frame import export_store

    check_folder(out, "--out")
    with Store(store) as opened:
        print(f"{out}: {counted(export_store(opened, out), 'row')}")


@campaign.command()
@click.argument("store")
@click.option("--out", required=True, help="The folder for the figures and the page.")
def report(store: str, out: str) -> None:
    """Draw the figures of STORE (PDF and PNG), and write one HTML page of everything."""
    from bnnopt.report.campaign_report import write_report

    with Store(store) as opened:
        make_folder(out, "--out")
        page = write_report(opened, Path(out))
    print(page)
