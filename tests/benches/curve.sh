#!/usr/bin/env bash
# The learning curve of SSD MobileNet v1 0.75 on raccoon and on BCCD beside TFOD's own: the same checkpoint, config, split
# and steps, the mean of several seeds. TFOD's numbers were measured on TensorFlow 2.15.
#
# TFOD's runs on BCCD are recorded by their first rate and their steps. Whether the cosine went over 1000 steps, as in the
# settings that are recorded for all runs, or over the steps of the run, is not: both are run, and both are printed.
#
# usage: curve.sh SHARED_DATA SCRATCH
#   SEEDS="0 1 2"  the seeds          DATASETS="raccoon bccd"  which of the two
#   TOTALS="1000 steps"  over how many steps the rate falls on BCCD
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
shared=${1:?the folder with raccoon, bccd and weights} scratch=${2:?a folder for the runs}
boxwright=${BOXWRIGHT:-boxwright}
export BOXWRIGHT=$boxwright
seeds=${SEEDS:-0 1 2}
device=${DEVICE:-cpu}
checkpoint=$shared/weights/ssd_mobilenet_v1_0.75_coco_unfolded/model.ckpt

if [[ ! -e $checkpoint.index ]]; then
    echo "bench-curve: skipped, there is no $checkpoint"
    exit 0
fi
shared=$(realpath "$shared") checkpoint=$(realpath "$(dirname "$checkpoint")")/model.ckpt
mkdir -p "$scratch"

# The metric $2 of the evaluation at step $3 of the run $1.
metric() {
    grep '"eval"' "$1/metrics.jsonl" | grep "\"step\":$3," | tail -n 1 | grep -o "\"$2\":[0-9.eE-]*" | head -n 1 | cut -d: -f2
}

# A run for each seed: curve_runs PROJECT NAME STEPS EVERY RATE TOTAL CLASSES
curve_runs() {
    local project=$1 name=$2 steps=$3 every=$4 rate=$5 total=$6 classes=$7
    local path=train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate
    "$boxwright" config merge "$project/pipeline.config" --set "model.ssd.num_classes=$classes" \
        --set "$path.learning_rate_base=$rate" --set "$path.warmup_learning_rate=$rate" --set "$path.total_steps=$total" \
        -o "$project/$name.config" 2>/dev/null
    for seed in $seeds; do
        local run=$project/runs/$name-$seed
        [[ -e $run/done ]] && continue
        rm -rf "$run"
        "$boxwright" train --pipeline "$project/$name.config" --model-dir "$run" --checkpoint "$checkpoint" \
            --num-steps "$steps" --eval-every "$every" --device "$device" --seed "$seed" --progress none >/dev/null
        touch "$run/done"
    done
}

# Ours beside TFOD's at a step: compare PROJECT NAME STEP AP AP50
compare() {
    local project=$1 name=$2 step=$3 ap=$4 ap50=$5
    for seed in $seeds; do
        local run=$project/runs/$name-$seed
        echo "$(metric "$run" DetectionBoxes_Precision/mAP "$step") $(metric "$run" PascalBoxes_Precision/mAP@0.5IOU "$step")"
    done | awk -v name="$name" -v step="$step" -v ap="$ap" -v ap50="$ap50" '
        { a += $1; b += $2; list = list sprintf(" %.3f/%.3f", $1, $2) }
        END {
            a /= NR; b /= NR
            low = (a >= ap - 0.04 && b >= ap50 - 0.03) ? "within" : "BELOW"
            printf "%-16s %5d  AP %.3f (TFOD %.3f, %+.3f)  mAP@.5 %.3f (TFOD %.3f, %+.3f)  %s  seeds%s\n",
                name, step, a, ap, a - ap, b, ap50, b - ap50, low, list
        }'
}

for dataset in ${DATASETS:-raccoon bccd}; do
    project=$scratch/$dataset
    if [[ ! -e $shared/$dataset ]]; then
        echo "bench-curve: $dataset skipped, there is no $shared/$dataset"
        continue
    fi
    if [[ $dataset == raccoon ]]; then
        [[ -e $project/pipeline.config ]] || { rm -rf "$project"; "$here/raccoon_project.sh" "$shared/raccoon" "$project"; }
        curve_runs "$project" raccoon 1000 100 0.004 1000 1
        # The mean of TFOD's seeds where it ran several.
        compare "$project" raccoon 100 0.431 0.901
        compare "$project" raccoon 200 0.524 0.934
        compare "$project" raccoon 400 0.560 0.941
        compare "$project" raccoon 1000 0.594 0.945
    else
        if [[ ! -e $project/pipeline.config ]]; then
            rm -rf "$project"
            "$boxwright" new "$project"
            for part in trainval:train test:test; do
                "$boxwright" import "$project" --format pascal-voc "$shared/bccd/Annotations" --images "$shared/bccd/JPEGImages" \
                    --list "$shared/bccd/ImageSets/Main/${part%:*}.txt" --split "${part#*:}"
                "$boxwright" export "$project" --format tfrecord "$project/records/${part#*:}.record" --split "${part#*:}" --shards 2
            done
            sed 's#\(records/[a-z]*\.record\)"#\1-?????-of-?????"#' "$here/raccoon.config" >"$project/pipeline.config"
        fi
        for total in ${TOTALS:-1000 steps}; do
            curve_runs "$project" "0.02-over-$total" 300 300 0.02 "${total/steps/300}" 3
            compare "$project" "0.02-over-$total" 300 0.422 0.697
            curve_runs "$project" "0.004-over-$total" 500 500 0.004 "${total/steps/500}" 3
            compare "$project" "0.004-over-$total" 500 0.359 0.625
        done
    fi
done
