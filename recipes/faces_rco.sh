#!/usr/bin/env bash
# Route Constrained Optimization (RCO), its controls and all other methods, on real faces.
#
#   recipes/faces_rco.sh FACES OUT [PROFILE]
#
# FACES     folder with train/ and distractors/ (RecordIO) and cfp/ (an image folder with pairs_ff.csv and pairs_fp.csv).
# OUT       folder for the runs, the plans, the report pages and summary-HARDWARE.json; the same command continues after
#           a kill.
# PROFILE   a folder of recipes/faces_rco/: cpu (48 px, about 75 minutes on 2 cores), cpu-steps (the same, for greedy and
#           plateau), tiny (a small teacher, to measure rotations along its route) or gpu (112 px); default: gpu if the
#           machine has one, else cpu.
#
# Environment variables:
# METHODS   methods to compare, default "labels mimic restarts rco"; also progress, change, rco-aligned, greedy, plateau,
#           mean, point1, point2, point3, and the names of 'facekd methods', alone or joined, with their default
#           weights: adadistill, prokt, l2+rkd, ...
# SEEDS     seeds of the students, default "0 1 2".
# RESULTS   the CSV that receives one row per finished run; default OUT/results-{hardware}.csv.
# JOBS      number of students that train at the same time.
# FACEKD    the command, default facekd.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
. "$folder/common.sh"
[ $# -ge 2 ] || { usage; exit 2; }
faces=$1 out=$2 profile=${3:-$(have_gpu && echo gpu || echo cpu)}
recipes=$folder/faces_rco/$profile
[ -d "$recipes" ] || { echo "no profile '$profile'; there are: $(cd "$folder/faces_rco" && echo */)" >&2; exit 2; }
export faces out recipes results=${RESULTS:-$out/results-{hardware\}.csv}
methods=${METHODS:-labels mimic restarts rco}
seeds=${SEEDS:-0 1 2}
jobs=${JOBS:-$([ "$profile" = cpu ] && nproc || echo 2)}
mkdir -p "$out"

train_teacher() { # train the teacher and measure it
  $facekd train "$faces/train" "$out/teacher" --recipe "$recipes/teacher.yaml"
  measure_faces "$out/teacher" "$faces"
}

train_student() { # STUDENT METHOD SEED: train one student and measure it
  local run="$out/$1/$2-seed$3"
  if [ "$2" = labels ]; then
    $facekd train "$faces/train" "$run" "seed=$3" --recipe "$recipes/$1/labels.yaml"
  elif [ -f "$out/plans/$2.json" ]; then
    $facekd distill "$faces/train" "$out/plans/$2.json" "$run" "seed=$3" --recipe "$recipes/$1/distill.yaml"
  else
    $facekd distill "$faces/train" "$out/plans/mimic.json" "$run" "seed=$3" "method=$2" \
      --recipe "$recipes/$1/distill-method.yaml"
  fi
  measure_faces "$run" "$faces"
}
export -f train_student

$facekd doctor "$faces/train" "$faces/distractors" "$faces/cfp" --labels --json "$out/doctor.json"
train_teacher
for method in rco mimic $methods; do make_plan "$method"; done

for student_folder in "$recipes"/*/; do
  student=$(basename "$student_folder")
  for seed in $seeds; do
    for method in $methods; do echo "$student $method $seed"; done
  done
done | OMP_NUM_THREADS=$(threads_per_job "$jobs") run_jobs "$jobs" train_student

for student_folder in "$recipes"/*/; do
  run="$out/$(basename "$student_folder")/rco-seed${seeds%% *}"
  [ ! -d "$run" ] || [ -d "$run/package" ] ||
    $facekd export "$run" "$run/package" --calibration "$faces/train" \
      --pairs "$faces/cfp/pairs_ff.csv" --images "$faces/cfp" --gate accuracy=1
done
$facekd report "$out/teacher" "$out"/*/*-seed* --out "$out"
