#!/bin/bash
# VNN-COMP: prepare_instance.sh v1 CATEGORY ONNX VNNLIB. Whether the files are there; no analysis.
set -eu
[ "${1:-}" = v1 ] && [ $# -ge 4 ] || { echo "usage: $0 v1 CATEGORY ONNX VNNLIB" >&2; exit 1; }
for file in "$3" "$4"; do
    [ -e "$file" ] || [ -e "$file.gz" ] || { echo "$file is missing" >&2; exit 1; }
done
