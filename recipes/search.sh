#!/usr/bin/env bash
# A student that is searched inside its teacher, compared with uniform width and random subgraphs at the same budget.
# All students are trained alike, from random weights, by knowledge distillation from the trained teacher.
#
#   recipes/search.sh DATA OUT
#
# DATA      a class set: a CIFAR archive, Parquet, or a folder with train/ and val/, one folder per class.
# OUT       folder for the teacher, the search, the students and the report pages; the same command continues after a kill.
#
# Environment variables:
# TEACHER   an architecture (default resnet20), or the finished run of one.
# BUDGET    keys of the search, default "budget_fraction=0.5"; e.g. "cost=parameters", "cost=latency runtime=torch".
# CONTROLS  number of random subgraphs, default 5.
# SEEDS     seeds of the students, default "0".
# TEACHER_EPOCHS, SEARCH_EPOCHS, EPOCHS  epochs of teacher, search and students, default 30, 20 and 30.
# CLASSES   number of classes to use, the first ones; default all.
# RESULTS   the CSV that receives one row per finished run; default OUT/results-{hardware}.csv.
# JOBS      number of students that train at the same time; OMP_NUM_THREADS: the CPU threads of each.
# FACEKD    the command, default facekd.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
. "$folder/common.sh"
[ $# -ge 2 ] || { usage; exit 2; }
recipes=$folder/classes/fast
export data=$1 out=$2 recipes classes=${CLASSES:-0} epochs=${EPOCHS:-30}
export results=${RESULTS:-$out/results-{hardware\}.csv}
jobs=${JOBS:-$(default_jobs)}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(threads_per_job "$jobs")}

train_teacher() { # MODEL: train a teacher
  $facekd train "$data" "$out/teacher" --recipe "$recipes/train.yaml" "model.name=$1" "data.classes=$classes" \
    "training.epochs=${TEACHER_EPOCHS:-30}"
}

train_student() { # NAME PLAN SEED: train one student and measure it
  local run="$out/$1-seed$3"
  $facekd distill "$data" "$out/kd.json" "$run" --recipe "$recipes/distill.yaml" "student.name=resnet_pruned" \
    "student.options.plan=$2" "data.classes=$classes" "training.epochs=$epochs" "seed=$3"
  measure_classifier "$run" "$data" "$classes" "$teacher"
}
export -f train_student

teacher=${TEACHER:-resnet20}
if [ ! -d "$teacher" ]; then
  train_teacher "$teacher"
  teacher=$out/teacher
fi
export teacher

# shellcheck disable=SC2086  # several keys
$facekd search "$teacher" "$out/search" ${BUDGET:-budget_fraction=0.5} "random_controls=${CONTROLS:-5}" \
  training.batch_size=64 training.learning_rate=0.05 "training.epochs=${SEARCH_EPOCHS:-20}" --show
$facekd plan "$teacher" "$out/kd.json" --strategy final --anchors 1
for seed in ${SEEDS:-0}; do
  $facekd search "$out/search" --list-students | while read -r name plan; do echo "$name $plan $seed"; done
done | run_jobs "$jobs" train_student
$facekd report "$out"/*-seed? --out "$out"
