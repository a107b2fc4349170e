#!/usr/bin/env bash
# Fine-tunes SSD MobileNet v1 0.75 from its COCO weights on real photographs: the raccoon data set with its authors' own
# split, 400 steps of batch 8, measured on the 40 held-out pictures. TFOD reaches COCO AP 0.560 and mAP@.5 0.941.
#
# usage: raccoon.sh DATA WEIGHTS SCRATCH
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

data=${1:?the folder with annotations, images and data} weights=${2:?the COCO weights} scratch=${3:?a folder for the run}
export BOXWRIGHT=${BOXWRIGHT:-boxwright}
boxwright=$BOXWRIGHT
steps=${STEPS:-400}
device=${DEVICE:-cpu}

for needed in "$data/annotations" "$data/images" "$data/data/train_labels.csv" "$data/data/test_labels.csv" "$weights"; do
    if [[ ! -e $needed ]]; then
        echo "bench-raccoon: skipped, there is no $needed"
        exit 0
    fi
done
data=$(realpath "$data") weights=$(realpath "$weights")

rm -rf "$scratch"
mkdir -p "$scratch"
project=$scratch/project

"$here/raccoon_project.sh" "$data" "$project"

started=$SECONDS
"$boxwright" train --pipeline "$project/pipeline.config" --model-dir "$project/runs/raccoon" --checkpoint "$weights" \
    --num-steps "$steps" --device "$device" --seed "${SEED:-0}"
echo "wall time of training and evaluation: $((SECONDS - started)) s"
peak=$(grep -o '"peak_memory": *[0-9]*' "$project/runs/raccoon/run.json" | grep -o '[0-9]*$' || true)
[[ -z $peak ]] || awk -v peak="$peak" 'BEGIN { printf "peak memory of the run: %.2f GB (TFOD 1.75 GB), ratio %.2f\n", peak / 1e9, peak / 1.75e9 }'
"$boxwright" eval --model-dir "$project/runs/raccoon" --device "$device" --json >"$scratch/metrics.json"
cat "$scratch/metrics.json"

# COCO AP of 0.50 and mAP@.5 of 0.90 are the least that this model must reach.
metric() { grep -o "\"$1\": *[0-9.]*" "$scratch/metrics.json" | head -n 1 | grep -o '[0-9.]*$'; }
ap=$(metric DetectionBoxes_Precision/mAP)
ap50=$(metric PascalBoxes_Precision/mAP@0.5IOU)
echo "COCO AP $ap (TFOD 0.560), mAP@.5 $ap50 (TFOD 0.941)"
awk -v ap="$ap" -v ap50="$ap50" 'BEGIN { exit !(ap >= 0.50 && ap50 >= 0.90) }' || {
    echo "below the bar of 0.50 and 0.90"
    exit 1
}
