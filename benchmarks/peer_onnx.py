"""Networks in ONNX files: the traffic signs of VNN-COMP, falsified; FINN's TFC, verified."""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peer_binary import verified
from benchmarks.peer_files import locate
from bnnopt import datasets
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.limits import Limits
from bnnopt.exchange.content import file_content
from bnnopt.exchange.counterexamples.questions import input_range
from bnnopt.exchange.counterexamples.replay import Replay
from bnnopt.exchange.counterexamples.searching import CaseSearch
from bnnopt.exchange.onnx import read_onnx
from bnnopt.exchange.read import read
from bnnopt.exchange.vnnlib import packed, read_vnnlib
from bnnopt.search.warm_up import warm_up

__all__ = ["tfc", "traffic_signs"]

Record = dict[str, Any]
Results = Iterator[tuple[str, list[Record], list[Record]]]

UNKNOWN_SECONDS = 480.0
"""What an instance without an answer counts: its limit in the competition."""

SIGNS = (
    "Traffic signs of VNN-COMP (2023 to 2025): seconds until a point of the box is found, after "
    "loading, in which another logit is at least as large; it is replayed exactly and by "
    "onnxruntime. An instance without one counts 480 s. Published: alpha-beta-CROWN falsified 45 "
    "of 45 in 2024, in a mean of 8.2 s on a machine with a GPU; no instance was ever proved."
)


def traffic_signs(arguments: argparse.Namespace) -> Results:
    """All instances of the list whose files are there."""
    warm_up()
    import_module("torch")  # gradients come first
    folder = locate("traffic-signs", "instances.csv").parent
    with (folder / "instances.csv").open(newline="") as lines:
        listed = [(network, asked) for network, asked, *_ in csv.reader(lines)]
    records: list[Record] = []
    for network, asked in listed:
        paths = [_existing(folder / part) for part in (network, asked)]
        if None in paths:
            continue
        records.append(_falsified(arguments, *(path for path in paths if path)))
        yield SIGNS, _summary(records, len(listed)), records


def _existing(path: Path) -> Path | None:
    return next((p for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()), None)


def _falsified(arguments: argparse.Namespace, network: Path, asked: Path) -> Record:
    began = time.perf_counter()
    about = read_vnnlib(asked)
    between = input_range(about.cases)
    content, _ = file_content(packed(network))
    read_network = read_onnx(content, input_range=between)
    replay = Replay(content, read_network.network, between)
    loaded = time.perf_counter()
    limits = Limits(min(arguments.limit, UNKNOWN_SECONDS), arguments.threads)
    search = CaseSearch(replay, limits, Deadline(limits))
    witness = search.run(about.cases, read_network.network, between)
    seconds = time.perf_counter() - loaded
    return {
        "network": Path(network).name.split("_QConv")[0],
        "property": Path(asked).name.removesuffix(".gz").removesuffix(".vnnlib"),
        "falsified": witness is not None,
        "seconds": round(seconds, 3),
        "loading (s)": round(loaded - began, 3),
    }


def _summary(records: list[Record], listed: int) -> list[Record]:
    rows = []
    for name in [*dict.fromkeys(record["network"] for record in records), "all"]:
        some = [record for record in records if name in ("all", record["network"])]
        counted = [r["seconds"] if r["falsified"] else UNKNOWN_SECONDS for r in some]
        rows.append(
            {
                "network": name,
                "instances": len(some),
                "falsified": sum(record["falsified"] for record in some),
                "mean (s)": round(sum(counted) / len(counted), 3),
                "largest (s)": max(counted),
                "loading, mean (s)": round(sum(r["loading (s)"] for r in some) / len(some), 3),
            }
        )
    rows[-1]["of the list"] = listed
    return rows


def tfc(arguments: argparse.Namespace) -> Results:
    """FINN's TFC_1W1A as QONNX: accuracy, and MNIST's first test images verified."""
    imported = read(locate("qonnx", "TFC_1W1A.onnx"), check=200)
    images = datasets.load("mnist").images[:, None]
    title = (
        f"TFC_1W1A of github.com/fastmachinelearning/qonnx_model_zoo (listed: 93.17 % of MNIST's "
        f"test images): {imported.agreement}."
    )
    yield from verified(title, {"TFC_1W1A": (imported.network, images)}, arguments)
