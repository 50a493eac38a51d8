#!/usr/bin/env bash
# Regimes in which a route could help on real images: students without batch norm, short budgets, over-trained teachers.
#
#   recipes/regimes.sh DATA OUT [PROFILE]
#
# DATA      a class set, as for classes.sh: Parquet of 32 px, for example.
# OUT       folder for the runs, plans, rows and diagnoses; the same command continues after a kill.
# PROFILE   a folder of recipes/regimes/: lenet (default) or overtrained.
#
# Run folders are OUT/METHOD-eEPOCHS-seedSEED. OUT/diagnosis-eEPOCHS.txt says whether the premise of Route Constrained
# Optimization holds for the student of plain distillation with the first seed; it is written before all other students
# of this budget are trained.
# Environment variables:
# METHODS   methods to compare, default "kd progressive restarts labels rco10 point2 point3"; also progressive-progress
#           (anchors by the teacher's progress), point1, mean, rco (four anchors), and every method but labels with the
#           suffix -t1, for temperature 1 in place of 4. progressive: ten equal anchors under one cycle of the learning
#           rate; rco10: the same anchors, and a cycle for each.
# EPOCHS    budgets of the students, default "15 4 8".
# SEEDS     seeds of the students, default "0 1 2".
# CLASSES   number of classes to use, the first ones; default all.
# RESULTS   the CSV that receives one row per finished run; default OUT/results-{hardware}.csv.
# JOBS      number of students that train at the same time.
# FACEKD    the command, default facekd.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
. "$folder/common.sh"
[ $# -ge 2 ] || { usage; exit 2; }
data=$1 out=$2 recipes=$folder/regimes/${3:-lenet}
[ -d "$recipes" ] || { echo "no profile '${3:-lenet}'; there are: $(cd "$folder/regimes" && echo */)" >&2; exit 2; }
export data out recipes classes=${CLASSES:-0} results=${RESULTS:-$out/results-{hardware\}.csv}
methods=${METHODS:-kd progressive restarts labels rco10 point2 point3}
seeds=${SEEDS:-0 1 2}
jobs=${JOBS:-$(default_jobs)}
export OMP_NUM_THREADS=1

make_regime_plan() { # METHOD without -t1: write the plan that it follows
  local paths=("$out/teacher" "$out/plans/$1.json")
  case $1 in
    progressive | rco10) $facekd plan "${paths[@]}" --strategy equal --anchors 10 ;;
    progressive-progress) $facekd plan "${paths[@]}" --strategy progress --anchors 10 ;;
    *) make_plan "$1" ;;
  esac
}

student() { # METHOD EPOCHS SEED: train one student and measure it
  local run="$out/$1-e$2-seed$3" plan=${1%-t1} temperature=4 cycle=stage
  [ "$plan" = "$1" ] || temperature=1
  [ "${plan#progressive}" = "$plan" ] || cycle=run
  if [ "$1" = labels ]; then
    $facekd train "$data" "$run" --recipe "$recipes/labels.yaml" "data.classes=$classes" "seed=$3" "training.epochs=$2"
  else
    $facekd distill "$data" "$out/plans/$plan.json" "$run" --recipe "$recipes/distill.yaml" "data.classes=$classes" \
      "seed=$3" "training.epochs=$2" "training.cycle=$cycle" "losses.kd.temperature=$temperature"
  fi
  measure_classifier "$run" "$data" "$classes" "$out/teacher"
}
export -f student

mkdir -p "$out"
$facekd train "$data" "$out/teacher" --recipe "$recipes/teacher.yaml" "data.classes=$classes"
measure_classifier "$out/teacher" "$data" "$classes" "$out/teacher"
for method in rco kd $methods; do
  plan=${method%-t1}
  [ "$plan" = labels ] || [ -f "$out/plans/$plan.json" ] || make_regime_plan "$plan"
done
for epochs in ${EPOCHS:-15 4 8}; do
  diagnosis="$out/diagnosis-e$epochs.txt"
  if [ ! -f "$diagnosis" ]; then
    student kd "$epochs" "${seeds%% *}"
    $facekd plan "$out/teacher" "$out/plans/kd.json" --strategy final --anchors 1 --show \
      --student "$out/kd-e$epochs-seed${seeds%% *}" > "$diagnosis.part"
    mv "$diagnosis.part" "$diagnosis"
  fi
  cat "$diagnosis"
  for seed in $seeds; do
    for method in $methods; do echo "$method $epochs $seed"; done
  done | run_jobs "$jobs" student
done
