"""A campaign's proofs as files, with all that checks them."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from pathlib import Path
from typing import Any

from bnnopt.campaign.proofs import npy_content, rows_content
from bnnopt.campaign.store import Store
from bnnopt.files import write_atomically
from bnnopt.proof import check

__all__ = ["export_proofs"]


def export_proofs(store: Store, folder: Path) -> int:
    """Write every proof of a store, with all that ``check.py`` needs beside it.

    Parameters
    ----------
    store : Store
        Whose cells have proofs.
    folder : path
        Made if missing: ``check.py``, ``networks/``, ``images/``, ``proofs/``, and ``proofs.csv``
        with a row a proof.

    Returns
    -------
    int
        How many there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(check.__file__, folder / "check.py")
    rows: list[dict[str, Any]] = []
    for cell, content in store.proofs():
        network = store.network(cell.network)
        asked = {
            "name": network.name,
            "dataset": cell.dataset,
            "index": cell.image,
            "epsilon": cell.epsilon,
            "goal": cell.goal,
            "target": cell.target,
        }
        image = npy_content(store.image(cell)[0])
        files = {
            "network": _kept(folder, "networks", rows_content(network), "npz"),
            "image": _kept(folder, "images", image, "npy"),
            "proof": _kept(folder, "proofs", content, "gz"),
        }
        rows.append(asked | files)
    text = io.StringIO()
    if rows:
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    write_atomically(folder / "proofs.csv", text.getvalue().encode())
    return len(rows)


def _kept(folder: Path, part: str, content: bytes, kind: str) -> str:
    """Write a file that is named by its content, since names in a store may be anything."""
    name = f"{part}/{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        write_atomically(path, content)
    return name
