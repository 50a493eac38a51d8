#!/usr/bin/env bash
# The positive control of Route Constrained Optimization: sparse parity, where the route of the teacher decides.
#
#   recipes/parity.sh OUT
#
# The class of an image of 8 x 8 black and white cells is the parity of 4 hidden cells. A wide teacher finds them in a
# sudden transition; a narrow student of its final outputs does not, in the same time. OUT receives the data, runs,
# plans, a row per run and the verdict; the same command continues after a kill. The last line and the exit code say
# whether RCO by the strategy 'progress' exceeds 95 % and KD and its restarts stay below 80 %, in the mean of all runs.
# Environment: PROBLEMS (seeds of the hidden cells and of the teacher, default "0 1 2"), SEEDS (of the students, default
#   "0 1 2 3 4"), METHODS (default "labels kd restarts equal progress change greedy"; also mean), EPOCHS (of the
#   students, default 8), TEMPERATURE (default 1), RESULTS (the CSV of the rows; default OUT/results-{hardware}.csv),
#   JOBS (concurrent trainings), FACEKD (the command), PYTHON (default python3). Other EPOCHS and TEMPERATURE share the
#   teachers of OUT; their runs are in OUT/problemN/eEPOCHS-tTEMPERATURE and their names have that suffix, too.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
[ $# -eq 1 ] || { usage; exit 2; }
out=$1
mkdir -p "$out"
results=${RESULTS:-$out/results-{hardware\}.csv}
methods=${METHODS:-labels kd restarts equal progress change greedy}
jobs=${JOBS:-$(default_jobs)}
epochs=${EPOCHS:-8}
temperature=${TEMPERATURE:-1}
python=${PYTHON:-python3}
variant="" variant_folder=""
if [ "$epochs" != 8 ] || [ "$temperature" != 1 ]; then
  variant="-e$epochs-t$temperature" variant_folder="e$epochs-t$temperature/"
fi
OMP_NUM_THREADS=1
export facekd out results epochs temperature here python variant variant_folder OMP_NUM_THREADS

teacher() { # PROBLEM: the data, the teacher with its route, and the plans
  local folder="$out/problem$1"
  [ -f "$folder/data/batches.meta.txt" ] || $python -m facekd.data.synthetic.parity "$folder/data" --problem "$1"
  $facekd train "$folder/data" "$folder/p$1-teacher" --recipe "$here/parity/train.yaml" "seed=$1"
  measure_classifier "$folder/p$1-teacher" "$folder/data" 2 "$folder/p$1-teacher"
  for method in kd restarts equal progress change greedy mean; do
    [ -f "$folder/plans/$method.json" ] || make_plan "$method" "$folder/p$1-teacher" "$folder/plans"
  done
}

student() { # PROBLEM METHOD SEED: train one student and measure it
  local folder="$out/problem$1" run="$out/problem$1/${variant_folder}p$1-$2$variant-seed$3"
  if [ "$2" = labels ]; then
    $facekd train "$folder/data" "$run" --recipe "$here/parity/train.yaml" "model.options={hidden: 32}" "seed=$3" \
      "training.epochs=$epochs" training.batch_size=32 training.lr_schedule=cosine training.warmup_epochs=0.1 \
      route.every_epochs=0
  else
    $facekd distill "$folder/data" "$folder/plans/$2.json" "$run" --recipe "$here/parity/distill.yaml" "seed=$3" \
      "training.epochs=$epochs" "losses.kd.temperature=$temperature"
  fi
  measure_classifier "$run" "$folder/data" 2 "$folder/p$1-teacher"
}
export -f teacher make_plan student

for problem in ${PROBLEMS:-0 1 2}; do echo "$problem"; done | run_jobs "$jobs" teacher
for seed in ${SEEDS:-0 1 2 3 4}; do
  for problem in ${PROBLEMS:-0 1 2}; do
    for method in $methods; do echo "$problem $method $seed"; done
  done
done | run_jobs "$jobs" student
$python "$here/../tools/parity_verdict.py" "$out"/problem*/"$variant_folder"p*-seed*/results/classify-test.json
