#!/usr/bin/env bash
# Trains a small detector for an hour and watches the memory of the process: after the warm-up it must not grow by more
# than one per cent. Evaluations and checkpoints are part of it.
#
# usage: soak.sh SCRATCH      MINUTES=60, DEVICE=cpu, BOXWRIGHT=the program
set -euo pipefail

scratch=${1:?a folder for the run}
boxwright=${BOXWRIGHT:-boxwright}
minutes=${MINUTES:-60}
device=${DEVICE:-cpu}
if [[ ! -r /proc/self/status ]]; then
    echo "soak: skipped, this system does not say how much memory a process holds"
    exit 0
fi

rm -rf "$scratch"
mkdir -p "$scratch"
"$boxwright" demo --no-window --dir "$scratch/project" --images 60 --num-steps 2 --device "$device" >/dev/null 2>&1
"$boxwright" train --pipeline "$scratch/project/pipeline.config" --model-dir "$scratch/run" --device "$device" \
    --num-steps 100000000 --eval-every 20 --checkpoint-every 20 --max-time "${minutes}m" --progress none &
training=$!
trap 'kill "$training" 2>/dev/null || true' EXIT

# 120 looks, whatever the length.
pause=$(awk -v minutes="$minutes" 'BEGIN { print minutes * 60 / 120 }')
started=$SECONDS
while sleep "$pause" && resident=$(awk '/^VmRSS:/ { print $2 }' "/proc/$training/status" 2>/dev/null) && [[ -n $resident ]]; do
    echo "$((SECONDS - started)) $resident" >>"$scratch/resident.txt"
    (($(wc -l <"$scratch/resident.txt") % 12)) || echo "after $((SECONDS - started)) s: $((resident / 1024)) MiB"
done
wait "$training"
trap - EXIT

# The first quarter is the warm-up. The quarter after it is compared with the last one: an evaluation or a checkpoint in
# the middle of a look says nothing about growth, the mean of many looks does.
awk '{ at[NR] = $2 }
    END {
        if (NR < 40) { print "soak: only " NR " looks; give it more MINUTES"; exit 1 }
        quarter = int(NR / 4)
        for (i = quarter + 1; i <= 2 * quarter; i++) early += at[i] / quarter
        for (i = NR - quarter + 1; i <= NR; i++) late += at[i] / quarter
        growth = 100 * (late / early - 1)
        printf "soak: %d looks, %.1f MiB after the warm-up, %.1f MiB at the end, growth %.2f %%\n", NR, early / 1024, late / 1024, growth
        exit !(growth <= 1)
    }' "$scratch/resident.txt"
