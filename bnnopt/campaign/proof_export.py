"""A campaign's proofs as files, with all that checks them."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

from bnnopt.campaign.proofs import npy_content
from bnnopt.campaign.store import Store
from bnnopt.files import write_atomically
from bnnopt.network import BinarizedNetwork
from bnnopt.proof import check

__all__ = ["export_proofs"]


def export_proofs(store: Store, folder: Path) -> int:
    """Write every proof of a store, with all that ``check.py`` needs beside it.

    Parameters
    ----------
    store : Store
    folder : path
        Made if missing: ``check.py``, ``networks/``, ``images/``, ``proofs/``, and ``proofs.csv``
        with a row a proof.

    Returns
    -------
    int
        How many there are.
    """
    for part in ("networks", "images", "proofs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(check.__file__, folder / "check.py")
    rows: list[dict[str, Any]] = []
    for cell, content in store.proofs():
        network = store.network(cell.network)
        names = {
            "network": f"networks/{cell.network[:16]}.npz",
            "image": f"images/{cell.dataset[:16]}-{cell.image}.npy",
            "proof": f"proofs/{cell.key[:16]}.gz",
        }
        _write_network(folder / names["network"], network)
        write_atomically(folder / names["image"], npy_content(store.image(cell)[0]))
        write_atomically(folder / names["proof"], content)
        asked = {"name": network.name, "index": cell.image, "epsilon": cell.epsilon}
        rows.append(asked | {"goal": cell.goal, "target": cell.target} | names)
    text = io.StringIO()
    if rows:
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    write_atomically(folder / "proofs.csv", text.getvalue().encode())
    return len(rows)


def _write_network(path: Path, network: BinarizedNetwork) -> None:
    if not path.exists():
        network.with_rows().save(path)
