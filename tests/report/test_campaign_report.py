from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import run_campaign
from bnnopt.campaign.spec import parse_spec
from bnnopt.campaign.store import Store
from bnnopt.errors import InputError
from bnnopt.network import GRID
from bnnopt.shapes import layers_text, shape_text
from tests.helpers import random_image, random_network
from tests.kinds import FIRST, admissible, instance_of, network_of

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")
pytest.importorskip("jinja2")

from matplotlib.image import imread

from bnnopt.report.bootstrap import mean_interval
from bnnopt.report.campaign_report import write_report
from bnnopt.report.figures import drawings
from bnnopt.report.gallery import _change, _image
from bnnopt.report.lines import surrogate_logits
from bnnopt.report.pictures import picture
from bnnopt.report.results import finished, incumbents

HOSTILE = "<img src=x onerror='window.hacked = 1'>"
SPEC = f"""
# </script><script>window.hacked = 1</script>
networks = ["fashion-mnist-2x100"]
images = "0:4"
epsilons = [0.001, 0.002]
solvers = ["highs"]
time_limit = 20
[[methods]]
name = "MILP {HOSTILE}"
method = "milp"
[[methods]]
name = "MILP for longer"
method = "milp"
time_limit = 21
"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("campaign") / "store"
    with Store(path, create=True) as opened:
        assert run_campaign(parse_spec(SPEC), opened, LocalWorkers(2)).failed == 0
    return path


@pytest.fixture(scope="module")
def page(store: Path) -> Path:
    with Store(store) as opened:
        return write_report(opened, store.parent / "report")


def test_every_figure_is_there_for_print_and_screen(page: Path) -> None:
    names = {"figure-1", "figure-2", "figure-3", "figure-4", "cactus", "proved", "gap"}
    for name in names:
        assert (page.parent / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    for lacking in ("iprop with several options", "no attack runs on several solvers"):
        assert lacking in text


def test_the_page_is_self_contained_and_escapes_everything(page: Path) -> None:
    text = page.read_text()
    assert "default-src 'none'" in text
    for source in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert source.startswith(("data:", "#"))
    assert HOSTILE not in text
    assert "</script><script>window" not in text
    for words in ("Provenance", "highspy", "Logits before and after", "fashion-mnist-2x100"):
        assert words in text


PROBE = """
<script>
const table = document.querySelectorAll(".table")[1];
const buttons = [...table.querySelectorAll("th button")];
const at = (name) => buttons.findIndex((button) => button.textContent === name);
const values = (name) =>
  [...table.querySelectorAll("tbody tr")].map((row) => row.cells[at(name)].textContent);
const filter = (name, text) => {
  const input = table.querySelector(`input[aria-label="Filter by ${name}"]`);
  input.value = text;
  input.dispatchEvent(new Event("input"));
};
const said = { rows: values("image").length };
const sorter = buttons[at("objective")];
sorter.focus();
said.focused = document.activeElement === sorter;
sorter.click();
said.ascending = values("objective").map(Number);
said.aria = [sorter.parentElement.getAttribute("aria-sort")];
sorter.click();
said.descending = values("objective").map(Number);
said.aria.push(sorter.parentElement.getAttribute("aria-sort"));
filter("image", ">=2");
said.images = values("image").map(Number);
filter("attack", "for LONGER");
said.attacks = values("attack");
said.count = table.querySelector("[role=status]").textContent;
filter("attack", "nothing like this");
said.none = values("attack").length;
said.hacked = window.hacked ?? null;
said.overflow = document.documentElement.scrollWidth - window.innerWidth;
const out = document.createElement("pre");
out.id = "probe";
out.textContent = JSON.stringify(said);
document.body.append(out);
</script>
</body>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_in_a_browser_tables_sort_and_filter_and_nothing_is_complained_of(
    page: Path, tmp_path: Path
) -> None:
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("</body>", PROBE))
    ran = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--window-size=500,900",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            probed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in ran.stderr, ran.stderr
    found = re.search(r'<pre id="probe">(.*?)</pre>', ran.stdout, flags=re.DOTALL)
    assert found is not None, ran.stderr
    said: dict[str, Any] = json.loads(unescape(found[1]))
    assert said["rows"] == 16
    assert said["focused"]
    assert said["ascending"] == sorted(said["ascending"]) != said["descending"]
    assert said["descending"] == sorted(said["ascending"], reverse=True)
    assert said["aria"] == ["ascending", "descending"]
    assert set(said["images"]) == {2, 3} and len(said["images"]) == 8
    assert said["attacks"] == ["MILP for longer"] * 4
    assert said["count"] == "4 of 4 rows shown, 16 in all"
    assert said["none"] == 0
    assert said["hacked"] is None
    assert said["overflow"] <= 0


def test_a_store_without_a_finished_cell_has_no_report(tmp_path: Path) -> None:
    with (
        Store(tmp_path / "store", create=True) as empty,
        pytest.raises(InputError, match="no cell"),
    ):
        write_report(empty, tmp_path / "report")


def test_the_gap_is_to_the_best_attack_and_the_curves_end_at_the_results(store: Path) -> None:
    with Store(store) as opened:
        frame = finished(opened)
    best = frame.groupby(["epsilon", "image"])["gap"].min()
    assert best.tolist() == [0.0] * len(best)
    for _, row in frame.iterrows():
        curve = incumbents(row, np.array([0.0, 1e6]))
        assert curve[0] == row["start_objective"] / row["scale"]
        assert curve[1] == row["normalized"] <= 1.0


def test_figures_of_iprop_and_of_solvers_are_drawn_where_the_campaign_has_them(
    store: Path,
) -> None:
    """The attacks are renamed, so that the choice of rows is tested whatever methods there are."""
    with Store(store) as opened:
        frame = finished(opened)
        second = frame["series"] == "MILP for longer"
        lacking = {figure.name for figure in drawings(opened, frame) if figure.draw is None}
        assert lacking == {"figure-5", "figure-6", "solvers"}
        for figure, column in (("figure-5", "options"), ("figure-6", "start"), ("solvers", "")):
            changed = frame.assign(method="iprop")
            if column:
                changed.loc[second, column] = "another"
            else:
                changed = changed.assign(attack="MILP")
                changed.loc[second, "solver"] = "another"
            drawn = {f.name: f.draw for f in drawings(opened, changed) if f.draw is not None}
            panels = drawn[figure]().axes
            assert len(panels) == 2
            assert all(len(panel.patches) == 2 for panel in panels)


def test_the_bootstrap_covers_the_mean_and_shrinks_with_the_number_of_images() -> None:
    rng = np.random.default_rng(1)
    widths = []
    for count in (20, 2000):
        values = rng.normal(3.0, 1.0, count)
        mean, low, high = mean_interval(values)
        assert low < mean < high
        assert mean == pytest.approx(values.mean())
        # The half-width of the normal interval, 1.96 / sqrt(count), is what it estimates.
        assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(count), rel=0.15)
        widths.append(high - low)
    assert widths[1] < widths[0]
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)


def test_a_saturated_surrogate_is_the_network_itself() -> None:
    """Where every relaxed neuron is clipped, its sign is all that is left."""
    network = random_network(3, inputs=1, widths=(3,), levels=255)
    levels = network.levels_of(random_image(network, 0))
    far = levels * GRID
    assert np.array_equal(surrogate_logits(network, far), network.logits_of_levels(far))


def test_a_surrogate_of_whole_and_sparse_weights_is_the_torch_module_s() -> None:
    torch = pytest.importorskip("torch")
    from bnnopt.surrogate import HardTanh, StraightThroughNetwork, layer_scales

    for seed, first in enumerate(FIRST):
        network = network_of(seed, first, ("convolution", "ternary"), "real")
        points = admissible(instance_of(network, seed, domain="pixels"))
        module = StraightThroughNetwork(network, HardTanh(layer_scales(network)))
        expected = module.logits_of_levels(torch.from_numpy(points)).numpy()
        assert np.allclose(surrogate_logits(network, points), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(12,), (8, 6), (3, 8, 8), (8, 8, 3), (2, 5, 5), (2, 2, 3, 4)])
def test_images_of_any_shape_are_exhibited(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random(shape)
    for uri in (_image(picture(image)), _change(picture(image - 0.5), 0.5)):
        head, _, content = uri.partition(",")
        drawn = imread(io.BytesIO(base64.b64decode(content)), format="png")
        assert head == "data:image/png;base64"
        assert drawn.size > 0
        if len(shape) == 3 and 3 in shape:
            assert drawn.shape[:2] == (8, 8)


def test_networks_are_told_apart_by_their_shapes() -> None:
    plain = random_network(0, widths=(5, 5))
    image = network_of(0, "convolution", ("dense",))
    _, rows, columns = image.hidden[0].output_shape
    channels = image.widths[0] // (rows * columns)
    assert layers_text(plain) == "5x5"
    assert layers_text(image) == f"{channels}x{rows}x{columns}-{image.widths[1]}"
    assert shape_text((28, 28)) == "28x28"
