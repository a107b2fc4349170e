#!/usr/bin/env bash
# Whole training steps on raccoon, with input and augmentation: SSD MobileNet v1 0.75 at 300 x 300, batch 8. TFOD on
# TensorFlow does 45 images a second on a machine where PyTorch needs 0.45 s for the step of train_step.py, so here, where
# PyTorch needs T, the least is 45 x 0.45 / T. Both sides run in turns, so that a slow minute of the machine meets both.
# TFOD's figure is that of a thousand steps; ours is over STEPS of them, the first pass over the pictures included.
# The last line is `ratio X`: the time that our step takes over the time that it may take; 1 and less is as fast and faster.
#
# usage: raccoon_rate.sh DATA WEIGHTS SCRATCH VENV     VENV: where PyTorch is, or is put
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

data=${1:?the folder with annotations, images and data} weights=${2:?the COCO weights}
scratch=${3:?a folder for the runs} venv=${4:?a folder for the virtual environment}
export BOXWRIGHT=${BOXWRIGHT:-boxwright}
boxwright=$BOXWRIGHT
rounds=${ROUNDS:-3} steps=${STEPS:-150}

for needed in "$data/annotations" "$data/images" "$data/data/train_labels.csv" "$data/data/test_labels.csv" "$weights"*; do
    if [[ ! -e $needed ]]; then
        echo "bench-raccoon-rate: skipped, there is no $needed"
        exit 0
    fi
done
"$here/venv.sh" "$venv" torch || { echo "bench-raccoon-rate: skipped, PyTorch cannot be installed here"; exit 0; }
data=$(realpath "$data") weights=$(realpath -m "$weights")

rm -rf "$scratch"
mkdir -p "$scratch"
"$here/raccoon_project.sh" "$data" "$scratch/project" >"$scratch/project.log" 2>&1 || { cat "$scratch/project.log"; exit 1; }

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    "$venv/bin/python" "$here/train_step.py" 8 8 >>"$scratch/torch" 2>>"$scratch/torch.log" || { cat "$scratch/torch.log"; exit 1; }
    "$boxwright" train --pipeline "$scratch/project/pipeline.config" --model-dir "$scratch/project/runs/$round" \
        --checkpoint "$weights" --num-steps "$steps" --eval-every 0 --device cpu 2>&1 | grep '^done' >>"$scratch/ours"
done

# The first three steps of a run of PyTorch's warm up. Ours are averages over all steps, the first included.
middle() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
torch=$(awk '/^step/ && $2 >= 3 { print $(NF - 1) }' "$scratch/torch" | middle)
ours=$(sed 's/.* \([0-9.]*\) images a second.*/\1/' "$scratch/ours" | middle)
first=$(sed 's/.*first step after \([0-9.]*\) s.*/\1/' "$scratch/ours" | middle)
waited=$(sed 's/.*waited \([0-9.]*\) s.*/\1/' "$scratch/ours" | middle)
awk -v torch="$torch" -v ours="$ours" -v first="$first" -v waited="$waited" -v steps="$steps" 'BEGIN {
    target = 45 * 450 / torch
    printf "PyTorch'"'"'s step %.0f ms: the least is %.1f images a second\n", torch, target
    printf "Boxwright: %.1f images a second; first step after %.1f s (TFOD: 14 s); waited %.1f s for input in %d steps\n", ours, first, waited, steps
    printf "ratio %.2f\n", target / ours
}'
