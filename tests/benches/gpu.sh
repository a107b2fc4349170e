#!/usr/bin/env bash
# The training step of MobileNetV2 1.0 with SSD heads, 300 x 300, batch 32, f32, on this machine's GPU beside PyTorch's on the same GPU:
# ours in WGSL, in SPIR-V and through CUDA, as far as they can be built and run here. The last line is `ratio X`: the median
# of our best way's steps over the median of PyTorch's; 1 and less is as fast and faster. Without a GPU it says so and ends.
#
# usage: gpu.sh CARGO VENV      CARGO: how to run it; VENV: where PyTorch is, or is put
#   WAYS="vulkan cuda"  the ways beside WGSL          ANY_ADAPTER=1  ours on whatever adapter there is
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cargo=${1:?cargo} venv=${2:?a folder for the virtual environment}
rounds=${ROUNDS:-3} steps=${STEPS:-40} batch=${BATCH:-32}

if ! nvidia-smi >/dev/null 2>&1 && [[ -z ${ANY_ADAPTER:-} ]]; then
    echo "bench-gpu: skipped, nvidia-smi finds no GPU here (ANY_ADAPTER=1 runs ours on whatever adapter there is)"
    exit 0
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# Each way is a build of its own, because burn chooses its compiler by feature.
ways=()
for way in gpu ${WAYS-vulkan cuda}; do
    features=()
    [[ $way == gpu ]] || features=(--features "$way")
    if "$cargo" build --release -p boxwright-kernels --example train_step_bench "${features[@]}" 2>"$out/log"; then
        folder=$("$cargo" metadata --format-version 1 --no-deps | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)
        cp "$folder/release/examples/train_step_bench" "$out/bench-$way"
        ways+=("$way")
    else
        echo "$way: does not build here"
        tail -n 5 "$out/log"
    fi
done
"$here/venv.sh" "$venv" torch || echo "PyTorch cannot be installed here"

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    "$venv/bin/python" "$here/train_step.py" "$steps" "$batch" cuda >>"$out/torch" 2>>"$out/log" || true
    for way in "${ways[@]}"; do
        "$out/bench-$way" "$steps" "$batch" "$way" >>"$out/$way" 2>>"$out/log" || echo "$way: $(tail -n 1 "$out/log")"
    done
done

# The first steps of a run compile and tune kernels.
median() {
    [[ -s $1 ]] || return 0
    awk -v from=$((steps / 4)) '/^step/ && $2 >= from { print $(NF - 1) }' "$1" | sort -n |
        awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'
}
rate() { awk -v ms="$1" -v batch="$batch" 'BEGIN { printf "%.0f", 1e3 * batch / ms }'; }
best=
for way in "${ways[@]}"; do
    ms=$(median "$out/$way")
    [[ -n $ms ]] || continue
    name=$(case $way in gpu) echo "Boxwright, WGSL" ;; vulkan) echo "Boxwright, SPIR-V" ;; cuda) echo "Boxwright, CUDA" ;; esac)
    printf '%-20s %8.1f ms  %6s images a second\n' "$name" "$ms" "$(rate "$ms")"
    best=$(printf '%s\n' "$ms" $best | sort -n | head -n 1)
done
torch=$(median "$out/torch")
if [[ -z $torch || -z $best ]]; then
    echo "bench-gpu: no ratio, $([[ -z $torch ]] && echo "PyTorch finds no GPU here" || echo "none of our ways ran")"
    exit 0
fi
printf '%-20s %8.1f ms  %6s images a second\n' 'PyTorch, CUDA' "$torch" "$(rate "$torch")"
awk -v o="$best" -v t="$torch" 'BEGIN { printf "ratio %.2f\n", o / t }'
