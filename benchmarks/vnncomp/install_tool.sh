#!/bin/bash
# VNN-COMP: install_tool.sh v1. A virtual environment beside this file, with compiled kernels.
set -euo pipefail
[ "${1:-}" = v1 ] || { echo "usage: $0 v1" >&2; exit 1; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install -c "$root/constraints.txt" "$root[exchange,torch]"
"$here/venv/bin/python" -c "from bnnopt.search.warm_up import warm_up; warm_up()"
