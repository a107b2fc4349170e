#!/usr/bin/env bash
# A virtual environment with the peers that a benchmark compares with; kept, so the second run is quick.
#
# usage: venv.sh FOLDER PACKAGE...
set -euo pipefail
venv=${1:?a folder}
shift
[[ -x $venv/bin/python ]] || python3 -m venv "$venv" || exit 1
missing=()
for package in "$@"; do
    "$venv/bin/pip" show -q "$package" >/dev/null 2>&1 || missing+=("$package")
done
((${#missing[@]} == 0)) || "$venv/bin/pip" install -q "${missing[@]}" >&2
