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
from xml.etree import ElementTree

import numpy as np
import pytest

from bnnopt.campaign.status import campaign_status
from bnnopt.campaign.store import Store
from bnnopt.errors import InputError
from bnnopt.network import GRID
from bnnopt.shapes import layers_text, shape_text
from tests.helpers import random_image, random_network
from tests.kinds import FIRST, admissible, instance_of, network_of
from tests.report.conftest import FORMULA, HOSTILE

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")
pytest.importorskip("jinja2")

from matplotlib.image import imread

from bnnopt.report.bootstrap import mean_interval
from bnnopt.report.campaign_report import write_report
from bnnopt.report.gallery import _change, _image, exhibits
from bnnopt.report.lines import surrogate_logits
from bnnopt.report.page_tables import cells_table
from bnnopt.report.pictures import picture
from bnnopt.report.results import finished, incumbents
from bnnopt.report.theme import DARK

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_every_figure_is_there_for_print_and_screen(page: Path) -> None:
    names = {"figure-1", "figure-2", "figure-3", "figure-4", "cactus", "proved", "gap", "verdicts"}
    text = page.read_text()
    for name in names:
        assert (page.parent / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f'<a href="{name}.pdf">' in text
    for lacking in ("iprop with several options", "no attack runs on several solvers"):
        assert lacking in text


def test_the_page_is_self_contained_and_escapes_everything(page: Path) -> None:
    text = page.read_text()
    assert "default-src 'none'" in text
    for source in re.findall(r'(?:src|srcset)="([^"]*)"', text):
        assert source.startswith("data:")
    for link in re.findall(r'href="([^"]*)"', text):
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in text
        else:
            assert link == "data:," or (page.parent / link).is_file()
    assert HOSTILE not in text
    assert "</script><script>window" not in text
    for words in ("Provenance", "highspy", "Logits before and after", "fashion-mnist-2x100"):
        assert words in text


def test_the_title_and_the_first_sentence_say_what_when_and_what_came_of_it(
    store: Path, page: Path
) -> None:
    text = page.read_text()
    title = unescape(re.findall("<title>(.*?)</title>", text)[0])
    sentence = unescape(re.findall('<p class="lead">(.*?)</p>', text)[0])
    with Store(store) as opened:
        frame = finished(opened)
        status = campaign_status(opened).attacks[2]
    for name in ("fashion-mnist-2x100", "0.001 and 0.002", HOSTILE, "MILP for longer", FORMULA):
        assert name in title
    assert re.search(r"\d{4}-\d\d-\d\d", title) and re.search(r"\d{4}-\d\d-\d\d", sentence)
    flips = int(frame[~frame["decides"]].groupby(["epsilon", "image"])["flipped"].max().sum())
    assert f"and MILP for longer flipped {flips} of 10 predictions" in sentence
    assert "proved 10 of 10 results" in sentence
    # Of five images at two epsilons.
    assert (status.certified, status.done) == (9, 10)
    assert re.search(r"certified accuracy 80.0 % \(.*0.002; .*\) to 100.0 % \(.*0.001; ", sentence)
    assert "on 5 images" in sentence


def test_figures_follow_a_dark_screen_and_a_narrow_one(page: Path) -> None:
    text = page.read_text()
    pictures = re.findall('<source media="[^"]*" srcset="(.*?)"><img src="(.*?)"', text)
    assert len(pictures) == text.count("<picture>") == 8
    found = []
    for narrow, wide in pictures:
        widths = []
        for uri in (narrow, wide):
            kind, _, content = uri.partition(";base64,")
            assert kind == "data:image/svg+xml"
            drawn = base64.b64decode(content).decode()
            ElementTree.fromstring(drawn)
            style, _, rest = drawn.partition("</style>")
            assert "prefers-color-scheme:dark" in style
            assert not any(f": {color}" in rest for color in DARK)
            widths.append(float(re.findall('width="([0-9.]+)pt"', drawn)[0]) / 72)
        assert widths[0] <= 3.71
        found.append(widths[1])
    assert max(found) > 3.71


def test_flips_are_shown_with_margins_and_lead_to_their_rows(store: Path, page: Path) -> None:
    with Store(store) as opened:
        frame = finished(opened)
        shown = exhibits(opened, frame)
        misses = exhibits(opened, frame[frame["flipped"] == 0.0])
    flips = frame[frame["flipped"] == 1.0]
    assert {exhibit.cell for exhibit in shown} <= {key[:12] for key in flips["key"]}
    assert len(shown) == flips["image"].nunique() > 0
    text = page.read_text()
    for exhibit in shown:
        assert exhibit.flipped and exhibit.images[2][0] == "adversarial"
        logits = {name: (before, after) for name, before, after in exhibit.logits}
        for at, margin in enumerate((exhibit.start, exhibit.margin)):
            assert margin == logits[exhibit.after][at] - logits[exhibit.before][at]
        assert f'data-cell="{exhibit.cell}"' in text
        assert f"margin {exhibit.margin:g}, {exhibit.start:g} before" in text
    assert misses
    for exhibit in misses:
        assert not exhibit.flipped
        assert exhibit.before == exhibit.after
        assert exhibit.images[2][0] in ("nearest, no flip", "unchanged")


def test_tables_round_margins_down_and_bounds_up(store: Path) -> None:
    with Store(store) as opened:
        frame = finished(opened)
    assert set(frame["goal"]) == {"margin", "flip"}
    changed = frame.assign(objective=1.23456789, bound=1.23456711, start_objective=-1.23456711)
    row = cells_table(changed).iloc[0]
    assert (row["objective"], row["bound"], row["start"]) == (1.23456, 1.23457, -1.23457)
    changed = frame.assign(goal="l1", goal_value=0.123456789, goal_bound=0.123456789)
    row = cells_table(changed).iloc[0]
    assert (row["goal's value"], row["goal's bound"]) == (0.123457, 0.123456)


def probed(page: Path, folder: Path, script: str, width: int, *flags: str) -> dict[str, Any]:
    """What a script says that runs in the page, in a browser."""
    end = """
      const out = document.createElement("pre");
      out.id = "probe";
      out.textContent = JSON.stringify(said);
      document.body.append(out);
    """
    copy = folder / "probed.html"
    code = f"<script>{{ {script} {end} }}</script></body>"
    copy.write_text(page.read_text().replace("</body>", code))
    ran = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--window-size={width},900",
            f"--user-data-dir={folder / 'profile'}",
            *flags,
            "--dump-dom",
            copy.as_uri(),
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
    return said


needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

TABLE = """
const table = [...document.querySelectorAll(".table")].at(-1);
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
"""
SORTING = """
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
"""


@needs_a_browser
def test_in_a_browser_tables_sort_and_filter_and_nothing_is_complained_of(
    page: Path, tmp_path: Path
) -> None:
    said = probed(page, tmp_path, TABLE + SORTING, 390)
    assert said["rows"] == 30
    assert said["focused"]
    assert said["ascending"] == sorted(said["ascending"]) != said["descending"]
    assert said["descending"] == sorted(said["ascending"], reverse=True)
    assert said["aria"] == ["ascending", "descending"]
    assert set(said["images"]) == {2, 3, 4} and len(said["images"]) == 18
    assert said["attacks"] == ["MILP for longer"] * 6
    assert said["count"] == "6 of 6 rows shown, 30 in all"
    assert said["none"] == 0
    assert said["hacked"] is None
    assert said["overflow"] <= 0


FILTERS = """
const tried = (name, text) => {
  filter(name, text);
  const found = [...new Set(values(name))];
  filter(name, "");
  return found;
};
said.number = tried("image", "!= 2");
said.other = tried("epsilon", "!=0.001");
said.equal = tried("attack", "=milp FOR longer");
said.unequal = tried("attack", "!=MILP for longer");
said.part = tried("attack", "=MILP");
said.unfinished = tried("image", "!=").length;
said.status = tried("status", "!=optimal");
filter("image", "=3");
filter("epsilon", "=0.002");
filter("attack", "longer");
said.one = table.querySelector("[role=status]").textContent;
"""


@needs_a_browser
def test_in_a_browser_filters_compare_with_numbers_and_texts(page: Path, tmp_path: Path) -> None:
    said = probed(page, tmp_path, TABLE + FILTERS, 1400)
    assert said["number"] == ["0", "1", "3", "4"]
    assert said["other"] == ["0.002"]
    assert said["equal"] == ["MILP for longer"]
    assert said["unequal"] == [f"MILP {HOSTILE}", FORMULA]
    assert said["part"] == []
    assert said["unfinished"] == 5
    assert said["status"] == ["infeasible"]
    assert said["one"] == "1 of 1 row shown, 30 in all"


LINKS = """
const link = document.querySelector("a[data-cell]");
link.click();
const marked = [...table.querySelectorAll("tr.marked")];
said.marked = marked.map((row) => row.cells[at("cell")].textContent === link.dataset.cell);
said.after = values("image").length;
said.images = new Set(values("image")).size;
table.querySelector(".clear").click();
said.cleared = values("image").length;
const right = table.querySelector(".scroll").getBoundingClientRect().right;
said.visible = ["flipped", "seconds", "gap to best"].map(
  (name) => buttons[at(name)].getBoundingClientRect().right <= Math.min(right, window.innerWidth));
said.background = getComputedStyle(document.body).backgroundColor;
"""


@needs_a_browser
def test_in_a_browser_a_flip_leads_to_its_rows_and_key_columns_are_in_view(
    page: Path, tmp_path: Path
) -> None:
    said = probed(page, tmp_path, TABLE + LINKS, 1400)
    assert said["marked"] == [True]
    assert (said["after"], said["images"], said["cleared"]) == (3, 1, 30)
    assert said["visible"] == [True, True, True]
    assert said["background"] == "rgb(255, 255, 255)"


@needs_a_browser
def test_in_a_browser_the_page_is_dark_where_the_reader_wants_that(
    page: Path, tmp_path: Path
) -> None:
    dark = "--blink-settings=preferredColorScheme=0"
    assert probed(page, tmp_path, TABLE + LINKS, 1400, dark)["background"] == "rgb(22, 24, 28)"


def test_a_store_without_a_finished_cell_has_no_report(tmp_path: Path) -> None:
    with (
        Store(tmp_path / "store", create=True) as empty,
        pytest.raises(InputError, match="no cell"),
    ):
        write_report(empty, tmp_path / "report")


def test_the_gap_is_to_the_best_attack_and_the_curves_end_at_the_results(store: Path) -> None:
    with Store(store) as opened:
        frame = finished(opened)
    assert frame.loc[frame["decides"], "gap"].isna().all()
    rows = frame[frame["maximizes"]]
    best = rows.groupby(["epsilon", "image"])["gap"].min()
    assert best.tolist() == [0.0] * 10
    for _, row in rows.iterrows():
        curve = incumbents(row, np.array([0.0, 1e6]))
        assert curve[0] == row["start_objective"] / row["scale"]
        assert curve[1] == row["normalized"] <= 1.0


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
