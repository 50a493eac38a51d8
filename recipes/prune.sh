#!/usr/bin/env bash
# Smaller networks with the weights of a teacher, distilled from it on faces without labels, and tested on CFP.
#
#   recipes/prune.sh TEACHER CROPS FACES OUT
#
# TEACHER   the .onnx of a recognizer of convolutions and the like, or a .safetensors file of facekd.
# CROPS     aligned faces to train on; the labels are not used.
# FACES     the folder that holds cfp with its lists of pairs, and distractors.
# OUT       folder for the route, the pruned networks and the runs; the same command continues after a kill.
#
# Environment variables:
# SHARES    multiply-adds that remain, as shares of the teacher's, default "0.5 0.25".
# EPOCHS    epochs of distillation, default 10.
# SEEDS     seeds of the runs, default "0".
# RESULTS   the CSV that receives one row per finished run; default OUT/results-{hardware}.csv.
# OMP_NUM_THREADS  CPU threads; FACEKD: the command, default facekd.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
. "$folder/common.sh"
[ $# -ge 4 ] || { usage; exit 2; }
teacher=$1 crops=$2 faces=$3 out=$4
results=${RESULTS:-$out/results-{hardware\}.csv}

mkdir -p "$out"
[ -f "$out/route/route.json" ] || $facekd route import "$teacher" "$out/route"
$facekd plan "$out/route" "$out/plan.json" --strategy final --anchors 1
for share in ${SHARES:-0.5 0.25}; do
  pruned="$out/pruned-$share.safetensors"
  [ -f "$pruned" ] || $facekd prune "$teacher" "$crops" "$pruned" --share "$share"
  for seed in ${SEEDS:-0}; do
    run="$out/pruned-$share-seed$seed"
    $facekd distill "$crops" "$out/plan.json" "$run" --recipe "$folder/prune/distill.yaml" "student.weights=$pruned" \
      "training.epochs=${EPOCHS:-10}" "seed=$seed"
    measure_faces "$run" "$faces"
  done
done
