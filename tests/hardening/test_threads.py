"""Threads that attack at once find what they find one after the other."""

from __future__ import annotations

import json
import subprocess
import sys

METHODS = ("bab", "pattern", "milp", "iprop")

CODE = f"""
import json
from concurrent.futures import ThreadPoolExecutor
import bnnopt
from tests.helpers import random_image, random_network

networks = [random_network(seed, inputs=12, widths=(8, 6), levels=255) for seed in range(3)]
cases = [(m, n, random_image(n, i)) for i in range(2) for n in networks for m in {METHODS!r}]

def attack(case):
    method, network, image = case
    found = bnnopt.attack(network, image, 0.1, method=method, time_limit=120)
    return [method, found.status, found.objective, found.bound, found.adversarial.tolist()]

with ThreadPoolExecutor(3) as threads:  # first, so that they also race for the imports
    together = list(threads.map(attack, cases))
print(json.dumps([together, [attack(case) for case in cases]]))
"""


def test_threads_that_attack_at_once_find_what_one_finds() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    together, alone = json.loads(run.stdout)
    assert together == alone
    assert {method for method, *_ in alone} == set(METHODS)
