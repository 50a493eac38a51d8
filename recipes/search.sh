#!/usr/bin/env bash
# A student found inside its teacher, against uniform width and random subgraphs at the same budget.
#
#   recipes/search.sh DATA OUT
#
# DATA  a class set: a CIFAR archive, Parquet, or a folder with train/ and val/ of one folder a class.
# OUT   receives teacher, search, students and report pages; the same command continues after a kill.
# Every student is trained alike from fresh weights, by knowledge distillation from the final teacher.
# Environment: TEACHER (an architecture, default resnet20, or a finished run of it), BUDGET (keys of the search, default
#   "share=0.5"; also "cost=parameters", "cost=latency runtime=torch"), SEEDS (of the students, default "0"), DRAWS (of
#   random subgraphs, default 5), TEACHER_EPOCHS, SEARCH_EPOCHS and EPOCHS (default 30, 20, 30), CLASSES (only the first
#   so many; default all), RESULTS (the CSV that receives a row as each run ends; default OUT/results-{hardware}.csv),
#   JOBS (students trained side by side), OMP_NUM_THREADS (of each), FACEKD (the command).
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2; }
recipes=$(cd "$(dirname "$0")" && pwd)/classes/fast
export facekd=${FACEKD:-facekd} data=$1 out=$2 recipes classes=${CLASSES:-0} epochs=${EPOCHS:-30}
export results=${RESULTS:-$out/results-{hardware\}.csv}
have_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }
jobs=${JOBS:-$(have_gpu && echo 2 || nproc)}

teacher=${TEACHER:-resnet20}
if [ ! -d "$teacher" ]; then
  $facekd teach "$data" "$out/teacher" --recipe "$recipes/teach.yaml" "model.name=$teacher" "data.classes=$classes" \
    "schedule.epochs=${TEACHER_EPOCHS:-30}"
  teacher=$out/teacher
fi
export teacher OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(($(nproc) / jobs > 0 ? $(nproc) / jobs : 1))}

measure() { # RUN: top-1 on the test images, agreement with the teacher; a row of the results
  [ -f "$1/results/classify-test.json" ] ||
    $facekd eval cifar --model "$1" --data "$data" --classes "$classes" --teacher "$teacher" --name test
  $facekd report "$1" --results "$results"
}

students() { # name and plan of every student
  python3 -c 'import json, sys; [print(name, student["plan"]) for name, student in
    json.load(open(sys.argv[1]))["students"].items() if name != "teacher"]' "$out/search/search.json"
}

train() { # NAME SEED PLAN: train one student and measure it
  local run="$out/$1-seed$2"
  $facekd distill "$data" "$out/kd.json" "$run" --recipe "$recipes/distill.yaml" "student.name=resnet_found" \
    "student.options.plan=$3" "data.classes=$classes" "schedule.epochs=$epochs" "seed=$2"
  measure "$run"
}
export -f measure train

# shellcheck disable=SC2086
$facekd search "$teacher" "$out/search" ${BUDGET:-share=0.5} "random=${DRAWS:-5}" schedule.batch=64 \
  schedule.learning_rate=0.05 "schedule.epochs=${SEARCH_EPOCHS:-20}" --show
$facekd plan "$teacher" "$out/kd.json" --strategy final --anchors 1
for seed in ${SEEDS:-0}; do
  while read -r name plan; do echo "$name $seed $plan"; done < <(students)
done | xargs -P "$jobs" -L 1 bash -euo pipefail -c 'train "$@"' train
$facekd report "$out"/*-seed? --out "$out"
