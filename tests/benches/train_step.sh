#!/usr/bin/env bash
# The training step of MobileNetV2 1.0 with SSD heads, 300 x 300, batch 8, f32, beside PyTorch's on the same cores: both sides
# run in turns, so that a slow minute of the machine meets both. The last line is `ratio X`: the median of our steps over
# the median of PyTorch's default (NCHW) steps; 1 and less is as fast and faster.
#
# usage: train_step.sh OURS VENV      OURS: the built example; VENV: where PyTorch is, or is put
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ours=${1:?the example train_step_bench} venv=${2:?a folder for the virtual environment}
rounds=${ROUNDS:-4} steps=${STEPS:-8} batch=${BATCH:-8}

"$here/venv.sh" "$venv" torch || { echo "bench-train-step: skipped, PyTorch cannot be installed here"; exit 0; }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    "$venv/bin/python" "$here/train_step.py" "$steps" "$batch" >>"$out/nchw"
    "$ours" "$steps" "$batch" >>"$out/ours"
    "$venv/bin/python" "$here/train_step.py" "$steps" "$batch" channels-last >>"$out/nhwc"
done

# The first three steps of a run warm up.
median() { awk '/^step/ && $2 >= 3 { print $(NF - 1) }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
memory() { awk '/^peak/ { if ($3 > m) m = $3 } END { print m }' "$1"; }
n=$(median "$out/nchw") l=$(median "$out/nhwc") o=$(median "$out/ours")
mn=$(memory "$out/nchw") ml=$(memory "$out/nhwc") mo=$(memory "$out/ours")
head -n 1 "$out/nchw"
printf '%-26s %10s %12s\n' '' 'ms a step' 'peak MiB'
printf '%-26s %10.1f %12s\n' 'PyTorch, NCHW' "$n" "$mn" 'PyTorch, channels last' "$l" "$ml" 'Boxwright' "$o" "$mo"
awk -v o="$o" -v l="$l" -v mo="$mo" -v mn="$mn" 'BEGIN { printf "to channels last %.2f, memory to NCHW %.2f\n", o / l, mo / mn }'
awk -v o="$o" -v n="$n" 'BEGIN { printf "ratio %.2f\n", o / n }'
