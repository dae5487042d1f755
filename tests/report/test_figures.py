from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from bnnopt.campaign.store import Store

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")

import pandas
from matplotlib import style

from bnnopt.report.figures import drawings
from bnnopt.report.lines import over_time
from bnnopt.report.panels import bars, boxes, looks
from bnnopt.report.proofs import cactus, profile, ratios
from bnnopt.report.results import finished, tried

SHOWN = looks(["A", "B", "C", "D", "E"])


def results(**columns: list[object]) -> pandas.DataFrame:
    """Rows of one network, data set and epsilon."""
    count = len(columns["series"])
    same = {"dataset": "d", "epsilon": 0.1, "network": "n", "architecture": "n", "depth": 2}
    other = {"width": 3, "seed": 0, "attack": "attack", "image": list(range(count))}
    return pandas.DataFrame({**same, **other, **columns})


def test_figures_of_iprop_and_of_solvers_are_drawn_where_the_campaign_has_them(
    store: Path,
) -> None:
    """The attacks are renamed, so that the choice of rows is tested whatever methods there are."""
    with Store(store) as opened:
        frame = tried(opened)
        second = frame["series"] == "MILP for longer"
        lacking = {figure.name for figure in drawings(opened, frame) if figure.draw is None}
        assert lacking == {"figure-5", "figure-6", "solvers", "profile"}
        milp = frame[~frame["decides"]]
        lacking = {figure.name for figure in drawings(opened, milp) if figure.draw is None}
        assert lacking == {"figure-5", "figure-6", "solvers", "profile", "verdicts"}
        decides = frame[frame["decides"]]
        lacking = {figure.name for figure in drawings(opened, decides) if figure.draw is None}
        assert lacking == {
            *("figure-3", "figure-4", "figure-5", "figure-6", "solvers", "profile", "gap")
        }
        for figure, column in (("figure-5", "options"), ("figure-6", "start"), ("solvers", "")):
            changed = milp.assign(method="iprop")
            if column:
                changed.loc[second, column] = "another"
            else:
                changed = changed.assign(attack="MILP")
                changed.loc[second, "solver"] = "another"
            drawn = {f.name: f.draw for f in drawings(opened, changed) if f.draw is not None}
            panels = drawn[figure]().axes
            assert len(panels) == 2
            assert all(len(panel.patches) == 2 for panel in panels)
            assert ("profile" in drawn) == (figure == "solvers")


def test_a_bar_of_zero_is_told_from_one_that_is_missing() -> None:
    names = ["n", "n", "n", "m"]
    frame = results(
        series=["A", "B", "C", "A"], architecture=names, network=names, value=[0.0, 0.5, 0.0, 1.0]
    )
    (axis,) = bars(frame, "value", "value", SHOWN).axes
    said = {(text.get_text(), round(float(text.xy[0]), 2)) for text in axis.texts}
    # Networks m and n, in each A, B and C from left to right.
    width = 0.84 / 3
    zeros = {("0", round(1 - width, 2)), ("0", round(1 + width, 2))}
    assert said == zeros | {("×", 0.0), ("×", round(width, 2))}
    assert axis.get_ylim()[0] == 0.0
    assert axis.get_ylim()[1] >= 1.0


def test_the_axis_of_counts_has_whole_numbers() -> None:
    for count in (1, 2, 3, 7):
        frame = results(series=["A"] * count, proved=[1.0] * count, wall_time=[0.5] * count)
        (axis,) = cactus(frame, SHOWN).axes
        ticks = axis.get_xticks()
        assert np.array_equal(ticks, np.round(ticks))
        assert axis.get_xlim()[0] == 0.0


def test_a_performance_profile_counts_what_each_solver_proves_within_a_factor() -> None:
    seconds = {"A": [1.0, 2.0, 3.0, 4.0], "B": [2.0, 1.0, 3.0, 1.0]}
    proved = {"A": [1.0, 1.0, 1.0, 0.0], "B": [1.0, 1.0, 0.0, 0.0]}
    frame = results(
        series=["A"] * 4 + ["B"] * 4,
        image=[*range(4), *range(4)],
        wall_time=seconds["A"] + seconds["B"],
        proved=proved["A"] + proved["B"],
    )
    table = ratios(frame)
    assert table["A"].tolist() == [1.0, 2.0, 1.0, np.inf]
    assert table["B"].tolist() == [2.0, 1.0, np.inf, np.inf]
    (axis,) = profile(frame, SHOWN).axes
    share = {
        name: [line.get_ydata()[line.get_xdata() <= factor].max() for factor in (1.0, 1.9, 2.0)]
        for name, line in zip("AB", axis.lines, strict=True)
    }
    assert share == {"A": [0.5, 0.5, 0.75], "B": [0.25, 0.25, 0.5]}


def test_an_instance_that_one_solver_has_not_finished_is_not_compared() -> None:
    frame = results(series=["A", "A", "B"], image=[0, 1, 0], wall_time=[1.0] * 3, proved=[1.0] * 3)
    assert ratios(frame).to_numpy().tolist() == [[1.0, 1.0]]


def test_intervals_over_time_stand_beside_each_other() -> None:
    trace = "[[0.02, 1.0], [0.5, 2.0]]"
    names = [name for name in "ABCDE" for _ in range(3)]
    frame = results(
        series=names,
        image=[0, 1, 2] * 5,
        wall_time=[1.0] * 15,
        trace=[trace] * 15,
        bounds=["[]"] * 15,
        start_objective=[-1.0, 0.0, 0.5] * 5,
        scale=[4.0] * 15,
    )
    (axis,) = over_time(frame, SHOWN).axes
    assert not axis.patches and len(axis.lines) == 15  # of each series the curve and two caps
    places = [bar.get_segments()[0][0][0] for bar in axis.collections]
    assert len(set(places)) == 5
    assert places == sorted(places)


def test_bounds_are_drawn_where_all_attacks_of_a_series_have_one() -> None:
    frame = results(
        series=["A", "A", "B", "B"],
        image=[0, 1, 0, 1],
        wall_time=[8.0] * 4,
        trace=["[[0.02, -1.0]]"] * 4,
        bounds=["[[0.1, 9.0], [2.0, 3.0]]", "[[1.0, 5.0]]", "[[1.0, 5.0]]", "[]"],
        start_objective=[-2.0] * 4,
        scale=[2.0] * 4,
    )
    (axis,) = over_time(frame, SHOWN).axes
    (bound,) = [line for line in axis.lines if line.get_linewidth() < 0.8]
    assert bound.get_color() == SHOWN["A"].color
    times, values = np.array(bound.get_data())
    assert np.isnan(values[times < 1.0]).all()
    assert np.all(values[(times > 1.0) & (times < 2.0)] == (9.0 + 5.0) / 2.0 / 2.0)
    assert np.all(values[times > 2.0] == (3.0 + 5.0) / 2.0 / 2.0)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_on_a_phone_panels_stand_below_each_other_and_keep_their_size(count: int) -> None:
    frames = [
        results(series=["A", "B"], value=[0.25, 0.5]).assign(epsilon=float(number))
        for number in range(count)
    ]
    frame = pandas.concat(frames)
    files = resources.files("bnnopt.report")
    with (
        resources.as_file(files / "bnnopt.mplstyle") as look,
        resources.as_file(files / "phone.mplstyle") as phone,
    ):
        for styles, widest, columns in (([look], 11.0, min(count, 5)), ([look, phone], 3.7, 1)):
            with style.context(styles):
                for draw in (bars, boxes):
                    figure = draw(frame, "value", "value", SHOWN)
                    figure.draw_without_rendering()
                    assert figure.get_figwidth() <= widest
                    assert len(figure.axes) == count
                    lefts = {round(axis.get_position().x0, 2) for axis in figure.axes}
                    assert len(lefts) == columns
                    assert min(axis.get_window_extent().height for axis in figure.axes) > 80


def test_every_figure_of_a_campaign_with_odd_names_is_drawn(store: Path) -> None:
    """Names are text, also where matplotlib would read a formula."""
    files = resources.files("bnnopt.report")
    with (
        Store(store) as opened,
        resources.as_file(files / "bnnopt.mplstyle") as look,
        style.context(look),
    ):
        assert any("$" in name for name in finished(opened)["series"])
        for drawing in drawings(opened, tried(opened)):
            if drawing.draw is not None:
                drawing.draw().draw_without_rendering()
