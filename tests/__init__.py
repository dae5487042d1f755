"""Tests mirror the packages."""

from __future__ import annotations

import os

# Processes of tests fill the cores: threads of each would only wait for each other's. Read when
# numpy and torch are imported, here and in the commands that tests run.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
