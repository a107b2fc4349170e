#!/usr/bin/env bash
# One picture through SSD MobileNet v1 0.75 at 300 x 300, folded, two threads: ours with post-processing, beside LiteRT with its own
# and beside onnxruntime without any; all sides in turns. Then how long `boxwright predict` takes from its start to its first line,
# with the small model of a demo. The last lines are `cold start X ms` and for each peer `ratio X`: the median of our medians
# over that of the peer's.
#
# usage: inference.sh OURS VENV BOXWRIGHT
#        OURS: the built example; VENV: where the peers are, or are put; BOXWRIGHT: the program
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ours=${1:?the example inference_bench} venv=${2:?a folder for the virtual environment}
boxwright=${3:?the program}
rounds=${ROUNDS:-5} runs=${RUNS:-100} threads=${THREADS:-2}

"$here/venv.sh" "$venv" torch onnx onnxruntime ai-edge-litert || { echo "bench-inference: skipped, the peers cannot be installed here"; exit 0; }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
peer() { "$venv/bin/python" "$here/$1" "$runs" "$threads" 2>"$out/log" | tee -a "$out/$2" || { cat "$out/log"; exit 1; }; }
for ((round = 1; round <= rounds; round++)); do
    peer inference.py onnxruntime
    peer inference_litert.py litert
    RAYON_NUM_THREADS=$threads "$ours" "$runs" | tee -a "$out/ours"
done
middle() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# The medians of the lines of a file that hold these words.
median() { grep "$2" "$out/$1" | grep -o 'median [0-9.]*' | cut -d' ' -f2 | middle; }
whole=$(median ours 'with post-processing')
echo "LiteRT $(median litert LiteRT) ms, onnxruntime $(median onnxruntime onnxruntime) ms, Boxwright $whole ms (network $(median ours network) ms, post-processing $(median ours '^post-processing') ms)"

"$boxwright" demo --no-window --images 40 --num-steps 1 --dir "$out/demo" --device cpu --progress none >"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
picture=$(find "$out/demo/images" -type f | sort | head -n 1)
cold() {
    local begin=$EPOCHREALTIME
    "$boxwright" predict --model "$out/demo/runs/demo" --images "$picture" --json --progress none 2>/dev/null | {
        read -r _
        awk -v from="$begin" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f\n", 1e3 * (to - from) }'
    }
}
cold >/dev/null # The program's pages are in memory from here on.
for ((round = 1; round <= 2 * rounds; round++)); do cold; done | middle | awk '{ printf "cold start %.0f ms\n", $1 }'
ratio() { awk -v o="$whole" -v p="$(median "$1" "$2")" -v name="$2" 'BEGIN { printf "ratio %.2f (%s)\n", o / p, name }'; }
ratio litert LiteRT
ratio onnxruntime onnxruntime
