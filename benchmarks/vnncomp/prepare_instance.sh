#!/bin/bash
# VNN-COMP: prepare_instance.sh v1 CATEGORY ONNX VNNLIB. Whether the files are there, and the search
# is compiled, once for all instances; no analysis.
set -eu
[ "${1:-}" = v1 ] && [ $# -ge 4 ] || { echo "usage: $0 v1 CATEGORY ONNX VNNLIB" >&2; exit 1; }
for file in "$3" "$4"; do
    [ -e "$file" ] || [ -e "$file.gz" ] || { echo "$file is missing" >&2; exit 1; }
done
python=python3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -x "$here/venv/bin/python" ] && python="$here/venv/bin/python"
"$python" -c "from bnnopt.search.warm_up import warm_up; warm_up()"
