"""Disks that are full and folders that cannot be written: one line, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bnnopt import files
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import run_campaign
from bnnopt.campaign.spec import load_spec
from bnnopt.campaign.store import Store
from tests.hardening.conftest import Program, tiny_network

QUICK = ("--images", "0,1", "--epsilon", "0.001", "--method", "milp")
SPEC = 'networks = ["n.npz"]\nimages = "0"\nepsilons = [0.0]\n[[methods]]\nmethod = "milp"\n'


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a network; a spec is beside it."""
    folder = tmp_path_factory.mktemp("network")
    tiny_network().save(folder / "n.npz")
    (folder / "spec.toml").write_text(SPEC)
    return str(folder / "n.npz")


@pytest.fixture(scope="module")
def store(network: str) -> str:
    """The path of a finished campaign's store."""
    path = Path(network).with_name("store")
    with Store(path, create=True) as opened:
        spec = load_spec(path.with_name("spec.toml"))
        assert run_campaign(spec, opened, LocalWorkers(1)).done == 1
    return str(path)


def assert_one_line(errors: str, *named: str) -> None:
    last = errors.splitlines()[-1]
    assert last.startswith("bnnopt: ")
    assert all(name in last for name in named), last
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", ["attack", "verify"])
def test_json_on_a_full_device_is_an_error_that_names_it(
    bnnopt_cli: Any, network: str, command: str
) -> None:
    quick = QUICK if command == "attack" else QUICK[:4]
    code, _, errors = bnnopt_cli(command, network, *quick, "--json", "/dev/full")
    assert code == 1
    assert "image 0" in errors  # what was found is on the screen all the same
    assert_one_line(errors, "No space left", "/dev/full")


def test_json_on_a_full_disk_keeps_whole_lines(
    bnnopt_cli: Any, network: str, full_disk: Path
) -> None:
    lines = full_disk / "out.jsonl"
    (full_disk / "filling").write_bytes(bytes(2**12))  # leaves room for some lines
    images = ("--images", "0:60", "--epsilon", "0", "--method", "milp")
    code, _, errors = bnnopt_cli("attack", network, *images, "--json", str(lines))
    assert code == 1
    assert_one_line(errors, "No space left", str(lines))
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record["image"] for record in records] == list(range(len(records)))
    assert records


def test_a_full_disk_leaves_an_older_file_as_it_was(
    bnnopt_cli: Any, network: str, store: str, full_disk: Path
) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("pyarrow")
    commands = {
        "a.png": ("attack", network, *QUICK, "--figure"),
        "m.lp": ("export", network, "--out"),
        "m.mps": ("export", network, "--out"),
        "t.csv": ("campaign", "export", store, "--out"),
        "t.parquet": ("campaign", "export", store, "--out"),
    }
    for name, command in commands.items():
        (full_disk / name).touch()
        code, _, errors = bnnopt_cli(*command, str(full_disk / name))
        assert code == 1, name
        assert_one_line(errors, "No space left", name)
        assert (full_disk / name).read_bytes() == b""
    code, _, errors = bnnopt_cli("campaign", "report", store, "--out", str(full_disk / "r"))
    assert code == 1
    assert_one_line(errors, "No space left", "figure-1.pdf")
    assert {path.name for path in full_disk.iterdir()} == {*commands, "filling", "r"}


@pytest.mark.parametrize(
    "command",
    [
        ("attack", "{network}", "--json"),
        ("attack", "{network}", "--figure"),
        ("verify", "{network}", "--json"),
        ("export", "{network}", "--out"),
        ("train", "--out"),
        ("train", "--zoo", "--out"),
        ("campaign", "run", "{spec}", "--store"),
        ("campaign", "export", "{store}", "--out"),
        ("campaign", "report", "{store}", "--out"),
    ],
    ids=lambda command: "-".join(word.strip("{}") for word in command),
)
@pytest.mark.parametrize("folder", ["{network}", "/proc"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    bnnopt_cli: Any, network: str, store: str, command: Any, folder: str
) -> None:
    if command[0] == "train":
        pytest.importorskip("torch")
    names = {"network": network, "store": store, "spec": str(Path(network).with_name("spec.toml"))}
    ending = {"--figure": ".png", "export": ".csv" if command[0] == "campaign" else ".lp"}
    name = "out" + next((ending[word] for word in command if word in ending), ".npz")
    target = Path(folder.format(**names)) / "below" / name
    code, out, errors = bnnopt_cli(*(word.format(**names) for word in command), str(target))
    assert (code, out) == (2, "")
    assert_one_line(errors, command[-1], str(target.parent))


@pytest.mark.parametrize("command", [("--version",), ("networks",), ("attack", "--help")])
def test_a_full_standard_output_is_one_line(program: Program, command: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        run = program(*command, stdout=full, stderr=-1)
    assert run.returncode == 1
    assert run.stderr.strip() == b"bnnopt: No space left on device"


WITHOUT_A_FOLDER = """
import resource
import solvers
from tests.solvers.models import knapsack

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file may have any content
try:
    solvers.solve(knapsack(), "cbc")
except solvers.SolverError as error:
    print(error)
"""


def test_a_solver_without_a_folder_to_work_in_says_so() -> None:
    pytest.importorskip("cbcbox")
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_FOLDER], capture_output=True, text=True, check=True
    )
    (line,) = run.stdout.splitlines()
    assert line.startswith("CBC has no folder to work in: FileNotFoundError")


def test_a_file_is_written_through_a_link_and_a_device_stays_a_device(tmp_path: Path) -> None:
    target, link, device = tmp_path / "target", tmp_path / "link", tmp_path / "device"
    target.write_bytes(b"older")
    link.symlink_to(target)
    files.write_atomically(link, b"newer")
    assert (link.is_symlink(), target.read_bytes()) == (True, b"newer")
    device.symlink_to("/dev/null")
    files.write_atomically(device, b"gone")
    assert Path("/dev/null").is_char_device()
    assert {path.name for path in tmp_path.iterdir()} == {"target", "link", "device"}
