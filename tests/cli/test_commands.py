from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bnnopt
from bnnopt.cli.images import parse_indices
from bnnopt.errors import InputError

QUICK = ("--epsilon", "0.003", "--time-limit", "30")


def test_attack_prints_a_table_and_writes_json_and_a_figure(
    bnnopt_cli: Any, tmp_path: Path, no_data: Path
) -> None:
    pytest.importorskip("matplotlib")
    lines, figure = tmp_path / "out put.jsonl", tmp_path / "figüre.png"
    code, out, _ = bnnopt_cli(
        "attack",
        "fashion-mnist-2x100",
        "--images",
        "1,4",
        *QUICK,
        "--json",
        str(lines),
        "--figure",
        str(figure),
    )
    assert code == 0
    assert "2 attacks" in out
    assert "2 replayed exactly" in out
    assert figure.read_bytes().startswith(b"\x89PNG")
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record["image"] for record in records] == [1, 4]
    assert all(record["verified"] and record["epsilon"] == 0.003 for record in records)


def test_json_on_stdout_is_nothing_but_json(bnnopt_cli: Any, no_data: Path) -> None:
    code, out, err = bnnopt_cli(
        "attack", "fashion-mnist-2x100", "--images", "1", *QUICK, "--json", "-"
    )
    assert code == 0
    assert [json.loads(line)["image"] for line in out.splitlines()] == [1]
    assert "1 attack:" in err


def test_a_mistaken_command_does_not_empty_an_older_file(bnnopt_cli: Any, tmp_path: Path) -> None:
    older = tmp_path / "older.jsonl"
    older.write_text("kept\n")
    code, _, _ = bnnopt_cli(
        "attack", "fashion-mnist-2x100", "--solver", "higs", "--json", str(older)
    )
    assert (code, older.read_text()) == (2, "kept\n")


def test_workers_give_the_results_of_one_process(bnnopt_cli: Any, no_data: Path) -> None:
    def objectives(*extra: str) -> dict[int, float]:
        arguments = ("attack", "fashion-mnist-2x100", "--images", "1,4,6", *QUICK, "--json", "-")
        code, out, _ = bnnopt_cli(*arguments, *extra)
        assert code == 0
        records = [json.loads(line) for line in out.splitlines()]
        return {record["image"]: record["objective"] for record in records}

    assert objectives() == objectives("--workers", "2")


def test_workers_leave_nothing_behind(no_data: Path) -> None:
    command = [sys.executable, "-m", "bnnopt", "attack", "fashion-mnist-2x100", "--images", "1,4"]
    command += [*QUICK, "--workers", "2"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    said = [line for line in run.stderr.splitlines() if "compiling" not in line]
    assert len(said) == 2, "a line an image: no warning of leaked semaphores"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("attack", "mnist-2x10"), "did you mean 'mnist-2x100'"),
        (("attack", "none.npz"), "does not exist"),
        (("attack",), "Missing argument"),
        (("atack", "mnist-2x100"), "did you mean 'attack'"),
        (("attack", "fashion-mnist-2x100", "--method", "mlip"), "did you mean 'milp'"),
        (("attack", "fashion-mnist-2x100", "--solver", "higs"), "did you mean 'highs'"),
        (("attack", "fashion-mnist-2x100", "--formulation", "x"), "paper"),
        (("attack", "fashion-mnist-2x100", "--target", "best"), "untargeted"),
        (("attack", "fashion-mnist-2x100", "--target", "11"), "0 to 9"),
        (("attack", "fashion-mnist-2x100", "--domain", "pixel"), "did you mean 'pixels'"),
        (("attack", "fashion-mnist-2x100", "--epsilon", "-1"), "from 0 to 1"),
        (("attack", "fashion-mnist-2x100", "--epsilon", "nan"), "8/255"),
        (("attack", "fashion-mnist-2x100", "--epsilon", "small"), "8/255"),
        (("attack", "fashion-mnist-2x100", "--images", "10000"), "0 to 9999"),
        (("attack", "fashion-mnist-2x100", "--images", "9990:10001"), "0 to 9999"),
        (("attack", "fashion-mnist-2x100", "--images", "-1"), "numbers and slices"),
        (("attack", "fashion-mnist-2x100", "--images", ""), "empty"),
        (("attack", "fashion-mnist-2x100", "--images", "5:5"), "no image"),
        (("attack", "fashion-mnist-2x100", "--time-limit", "0"), "time_limit"),
        (("attack", "fashion-mnist-2x100", "--threads", "0"), "threads"),
        (("attack", "fashion-mnist-2x100", "--workers", "0"), "--workers"),
        (("attack", "fashion-mnist-2x100", "--seed", "-1"), "seed"),
        (("attack", "fashion-mnist-2x100", "--figure", "a.bmp"), ".png"),
        (("attack", "fashion-mnist-2x100", "--figure", "/no/such/a.png"), "does not exist"),
        (("attack", "fashion-mnist-2x100", "--json", "/no/such/a.json"), "does not exist"),
        (("attack", "fashion-mnist-2x100", "--nonsense"), "No such option"),
        (("data", "where", "mnsit"), "did you mean 'mnist'"),
        (("train", "--dataset", "mnits"), "did you mean 'mnist'"),
        (("train", "--depth", "0"), "depth"),
        (("train", "--zoo", "--workers", "0"), "--workers"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_code_2(
    bnnopt_cli: Any, arguments: tuple[str, ...], message: str
) -> None:
    if arguments[0] == "train":
        pytest.importorskip("torch")
    code, out, err = bnnopt_cli(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("bnnopt: ")


def test_a_missing_extra_is_named_with_the_pip_command(
    bnnopt_cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = bnnopt.cli.attack.importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name == "matplotlib" else find_spec(name, *rest),
    )
    code, _, err = bnnopt_cli("attack", "fashion-mnist-2x100", "--figure", "a.png")
    assert code == 2
    assert "pip install 'bnnopt[report]'" in err


def test_a_network_without_a_data_set_or_with_other_images_is_refused(
    bnnopt_cli: Any, tmp_path: Path
) -> None:
    from tests.helpers import random_network

    path = tmp_path / "n.npz"
    random_network(0).save(path)
    code, _, err = bnnopt_cli("attack", str(path))
    assert (code, "names no data set" in err) == (2, True)
    network = random_network(0)
    bnnopt.BinarizedNetwork(
        network.hidden, network.output, network.levels, dataset="fashion-mnist"
    ).save(path)
    code, _, err = bnnopt_cli("attack", str(path), "--images", "0")
    assert (code, "has shape" in err) == (2, True)


def test_networks_solvers_and_data_are_listed(bnnopt_cli: Any, no_data: Path) -> None:
    code, out, _ = bnnopt_cli("networks")
    assert code == 0
    assert all(name in out for name in bnnopt.zoo.NAMES)
    code, out, _ = bnnopt_cli("networks", "--json")
    assert len([json.loads(line) for line in out.splitlines()]) == 20
    code, out, _ = bnnopt_cli("solvers", "--json")
    assert {json.loads(line)["name"] for line in out.splitlines()} >= {"highs", "cbc"}
    code, out, _ = bnnopt_cli("solvers")
    assert "highs" in out
    code, out, _ = bnnopt_cli("data", "where", "mnist")
    assert out.count("not on this machine") == 4
    code, out, _ = bnnopt_cli("--version")
    assert (code, bnnopt.__version__ in out) == (0, True)
    for command in ((), ("attack",), ("train",), ("data",)):
        code, out, _ = bnnopt_cli(*command, "--help")
        assert (code, "Usage:" in out) == (0, True)


def test_data_that_cannot_be_fetched_is_a_failure_with_one_line(
    bnnopt_cli: Any, no_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from bnnopt.datasets import catalog

    offline = replace(catalog.CATALOG["mnist"], url="http://127.0.0.1:9/")
    monkeypatch.setitem(catalog.CATALOG, "mnist", offline)
    for arguments in (("data", "fetch", "mnist"), ("attack", "mnist-2x100", "--images", "0")):
        code, _, err = bnnopt_cli(*arguments)
        assert code == 1
        assert "BNNOPT_DATA" in err
        assert len(err.strip().splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_keeps_what_is_finished_and_exits_130(tmp_path: Path, workers: str) -> None:
    lines = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "bnnopt", "attack", "fashion-mnist-2x100"]
    # Image 1 takes a moment; at this epsilon the other one takes minutes.
    command += ["--images", "1,0", "--epsilon", "0.015", "--workers", workers]
    command += ["--time-limit", "600", "--json", str(lines)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not (lines.exists() and lines.read_text()):
        time.sleep(0.1)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    if process.returncode == 0:
        pytest.skip("this machine finished before it was interrupted")
    assert process.returncode == 130
    assert "Traceback" not in err
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert records
    assert all(record["verified"] for record in records)
    # The one at work is there too, with its incumbent and a sound bound.
    assert [record["interrupted"] for record in records] == [False, True]
    assert records[1]["bound"] is None or records[1]["bound"] >= records[1]["objective"]
    assert "2 attacks" in out


@given(data=st.data())
def test_slices_are_pythons(data: st.DataObject) -> None:
    count = 50
    start, stop = data.draw(st.integers(0, 50)), data.draw(st.integers(0, 50))
    step = data.draw(st.integers(1, 9))
    expected = list(range(count))[start:stop:step]
    if expected:
        assert parse_indices(f"{start}:{stop}:{step}", count) == expected
    assert parse_indices(f"0,{start}:", count + 1) == [0, *range(max(start, 1), count + 1)]


@given(text=st.text(alphabet="0123456789:,-+. ab", max_size=12))
def test_any_text_gives_indices_or_one_clear_error(text: str) -> None:
    try:
        indices = parse_indices(text, 100)
    except InputError:
        return
    assert indices
    assert all(0 <= index < 100 for index in indices)
    assert len(set(indices)) == len(indices)


def test_train_writes_a_network_that_attack_can_use(
    bnnopt_cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(bnnopt.datasets, "load", lambda name, split: bnnopt.datasets.embedded())
    path = tmp_path / "mine.npz"
    arguments = ("--dataset", "fashion-mnist", "--width", "10", "--epochs", "2")
    code, out, _ = bnnopt_cli("train", *arguments, "--device", "cpu", "--out", str(path))
    assert (code, str(path) in out) == (0, True)
    network = bnnopt.BinarizedNetwork.load(path)
    assert network.widths == (10, 10)
    code, out, _ = bnnopt_cli("attack", str(path), "--images", "0", *QUICK)
    assert (code, "1 replayed exactly" in out) == (0, True)
    assert np.all(np.isfinite(network.output.bias))


def test_on_a_terminal_each_better_point_is_shown_while_the_attack_runs(no_data: Path) -> None:
    pty = pytest.importorskip("pty")
    primary, secondary = pty.openpty()
    arguments = ["--images", "0", "--epsilon", "0.01", "--method", "iprop", "--time-limit", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bnnopt", "attack", "fashion-mnist-2x100", *arguments],
        stdout=subprocess.PIPE,
        stderr=secondary,
        text=True,
    )
    os.close(secondary)
    shown = ""
    with suppress(OSError):  # how the end of a terminal reads on Linux
        while piece := os.read(primary, 4096):
            shown += piece.decode(errors="replace")
    out, _ = process.communicate(timeout=60)
    os.close(primary)
    assert process.returncode == 0
    assert "1 replayed exactly" in out
    incumbents = [float(n) for n in re.findall(r"image 0: (-?\d+) after [\d.]+ s", shown)]
    assert incumbents
    assert incumbents == sorted(incumbents)


def test_iprop_keeps_its_iterations_in_the_record(bnnopt_cli: Any, no_data: Path) -> None:
    arguments = ("--images", "1", "--method", "iprop", "--time-limit", "2", "--json", "-")
    code, out, _ = bnnopt_cli("attack", "fashion-mnist-2x100", *arguments)
    (record,) = [json.loads(line) for line in out.splitlines()]
    assert (code, record["method"], record["solver"]) == (0, "iprop", "highs")
    assert record["iterations"] == len(record["steps"]) > 0
    assert set(record["steps"][0]) == {"seconds", "step", "asked", "met", "objective"}
