#!/usr/bin/env bash
# A project of the raccoon data set with its authors' own split, its records, and the settings with which TFOD's own run
# was measured.
#
# usage: raccoon_project.sh DATA PROJECT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${1:?the folder with annotations, images and data} project=${2:?a folder for the project}
boxwright=${BOXWRIGHT:-boxwright}

"$boxwright" new "$project"
# The two CSVs say which picture belongs where.
for part in train test; do
    "$boxwright" import "$project" --format pascal-voc "$data/annotations" --images "$data/images" \
        --list "$data/data/${part}_labels.csv" --split "$part"
    "$boxwright" export "$project" --format tfrecord "$project/records/$part.record" --split "$part" --shards 2
done
# The records are in shards.
sed 's#\(records/[a-z]*\.record\)"#\1-?????-of-?????"#' "$here/raccoon.config" >"$project/pipeline.config"
