#!/usr/bin/env bash
# One picture through SSD MobileNet v1 0.75 at 300 x 300, folded, two threads, beside onnxruntime: both sides in turns. The last
# line is `ratio X`, the median of our medians over that of onnxruntime's.
#
# usage: inference.sh OURS VENV      OURS: the built example; VENV: where the peers are, or are put
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ours=${1:?the example inference_bench} venv=${2:?a folder for the virtual environment}
rounds=${ROUNDS:-5} runs=${RUNS:-100} threads=${THREADS:-2}

"$here/venv.sh" "$venv" torch onnx onnxruntime || { echo "bench-inference: skipped, the peers cannot be installed here"; exit 0; }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for ((round = 1; round <= rounds; round++)); do
    "$venv/bin/python" "$here/inference.py" "$runs" "$threads" 2>"$out/log" | tee -a "$out/peer" || { cat "$out/log"; exit 1; }
    RAYON_NUM_THREADS=$threads "$ours" "$runs" | tee -a "$out/ours"
done
median() { grep -o 'median [0-9.]*' "$1" | cut -d' ' -f2 | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
awk -v o="$(median "$out/ours")" -v p="$(median "$out/peer")" \
    'BEGIN { printf "onnxruntime %.2f ms, Boxwright %.2f ms\nratio %.2f\n", p, o, o / p }'
