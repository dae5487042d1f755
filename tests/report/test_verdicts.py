from __future__ import annotations

from pathlib import Path

import pytest

from bnnopt.campaign.status import campaign_status
from bnnopt.campaign.store import Store

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")

import pandas

from bnnopt.report.headline import listed, sentence
from bnnopt.report.page_tables import verdict_table
from bnnopt.report.results import done, tried
from bnnopt.report.verdicts import draw_verdicts, image_verdicts, verdicts


def test_verdicts_are_those_of_the_campaign_s_status(store: Path) -> None:
    with Store(store) as opened:
        table = verdicts(image_verdicts(tried(opened)))
        status = campaign_status(opened).attacks[2]
    assert table["certified"].sum() == status.certified > 0
    assert table["robust"].sum() == status.robust
    assert table["vulnerable"].sum() == status.flipped > 0
    assert table["images"].tolist() == [5, 5]
    assert (table["robust"] + table["vulnerable"] + table["unknown"] == table["images"]).all()


def test_images_of_other_seeds_count_once_and_a_failed_attack_leaves_its_image_unknown(
    store: Path,
) -> None:
    with Store(store) as opened:
        frame = tried(opened)
        frame = frame[frame["decides"] & (frame["epsilon"] == 0.001)]
        before = verdicts(image_verdicts(frame)).iloc[0]
        failed = frame.assign(
            seed=1, state="failed", status=None, flipped=None, label=None, source=None
        )
        failed["wall_time"] = None
        again = verdicts(image_verdicts(pandas.concat([frame, failed]))).iloc[0]
        alone = verdicts(image_verdicts(failed)).iloc[0]
    counts = ["images", "clean", "certified", "robust", "vulnerable", "unknown"]
    assert before[counts].tolist() == again[counts].tolist()
    assert alone[counts].tolist() == [5, 0, 0, 0, 0, 5]


def test_accuracies_are_rounded_down_and_an_image_that_is_misclassified_is_not_certified() -> None:
    rows = pandas.DataFrame(
        {
            "dataset": "d",
            "network": "n",
            "epsilon": 0.1,
            "series": "verify",
            "decides": True,
            "image": [0, 1, 2],
            "status": ["infeasible", "infeasible", "optimal"],
            "flipped": [False, False, True],
            "label": [1, 2, 3],
            "source": [1, 3, 3],
            "wall_time": 1.0,
        }
    )
    images = image_verdicts(rows)
    (row,) = verdict_table(verdicts(images)).to_dict("records")
    assert (row["certified accuracy"], row["clean accuracy"]) == (0.3333, 0.6666)
    assert (row["robust"], row["vulnerable"], row["unknown"], row["images"]) == (2, 1, 0, 3)
    (axis,) = draw_verdicts(images).axes
    heights = [round(float(bar.get_height()), 4) for bar in axis.patches]
    assert heights == [0.3333, 0.0, 0.3333, 0.3333]  # certified, unknown, vulnerable, wrong


def test_a_sentence_about_attacks_that_flip_nothing_says_so(store: Path) -> None:
    with Store(store) as opened:
        attempts = tried(opened)
        frame = done(attempts, opened)
    frame = frame[~frame["decides"]].assign(flipped=0.0, proved=0.0)
    nothing = verdicts(image_verdicts(attempts[~attempts["decides"]]))
    assert sentence(frame, nothing).endswith(": no attack flipped any of 10 predictions.")
    one = frame.head(1)
    assert "on 1 image, " in sentence(one, nothing)
    assert sentence(one, nothing).endswith(": no attack flipped any of 1 prediction.")


def test_lists_of_names_are_short_and_names_stay_whole() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b, c", "d"]) == "a, “b, c” and d"
    assert listed(map(str, range(9))) == "0, 1, 2, 3, 4 and 4 more"
