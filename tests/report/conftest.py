"""One small campaign, with names that would harm a careless page, and its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import run_campaign
from bnnopt.campaign.spec import parse_spec
from bnnopt.campaign.store import Store

HOSTILE = "<img src=x onerror='window.hacked = 1'>"
FORMULA = r"verify $\undefined$"
SPEC = f"""
# </script><script>window.hacked = 1</script>
networks = ["fashion-mnist-2x100"]
images = "0:5"
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
[[methods]]
name = '{FORMULA}'
method = "verify"
"""


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("campaign") / "store"
    with Store(path, create=True) as opened:
        assert run_campaign(parse_spec(SPEC), opened, LocalWorkers(2)).failed == 0
    return path


@pytest.fixture(scope="session")
def page(store: Path) -> Path:
    from bnnopt.report.campaign_report import write_report

    with Store(store) as opened:
        return write_report(opened, store.parent / "report")
