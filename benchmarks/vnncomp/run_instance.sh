#!/bin/bash
# VNN-COMP: run_instance.sh v1 CATEGORY ONNX VNNLIB RESULT TIMEOUT. The verdict, and the
# counterexample behind it, go to RESULT; "error" if there is none.
set -u
[ "${1:-}" = v1 ] && [ $# -ge 6 ] ||
    { echo "usage: $0 v1 CATEGORY ONNX VNNLIB RESULT TIMEOUT" >&2; exit 1; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=python3
[ -x "$here/venv/bin/python" ] && python="$here/venv/bin/python"
echo timeout > "$5"  # if this is killed
if "$python" -m bnnopt vnnlib "$3" "$4" --time-limit "$6" > "$5.partial"; then
    mv "$5.partial" "$5"
else
    rm -f "$5.partial"
    echo error > "$5"
fi
