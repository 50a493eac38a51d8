#!/usr/bin/env bash
# Route Constrained Optimization (RCO), its controls and all other methods, on a closed set of classes.
#
#   recipes/classes.sh DATA OUT PAIR [PROTOCOL]
#
# DATA      a class set: a CIFAR archive (python or binary), Parquet, or a folder with train/ and val/, one folder per class.
# OUT       folder for the runs, the plans and the report pages; the same command continues after a kill.
# PAIR      teacher and student, a name in recipes/classes/pairs.txt.
# PROTOCOL  a folder of recipes/classes/: crd (240 epochs), fast (30 epochs, one cycle; default), short (20 epochs).
#
# Environment variables:
# METHODS   methods to compare, default "labels kd restarts rco progress"; also change, greedy, plateau, mean, late,
#           point1, point2, point3, assistant, and the names of 'facekd methods', alone or joined: at, prokt, kd+rkd, ...
# SEEDS     seeds of the students, default "0 1 2".
# CLASSES   number of classes to use, the first ones; default all.
# RESULTS   the CSV that receives one row per finished run; default OUT/results-{hardware}.csv.
# JOBS      number of students that train at the same time.
# FACEKD    the command, default facekd.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
. "$folder/common.sh"
[ $# -ge 3 ] || { usage; echo "Pairs:"; grep -v '^#' "$folder/classes/pairs.txt"; exit 2; }
data=$1 out=$2 pair=$3 recipes=$folder/classes/${4:-fast}
read -r _ teacher student assistant learning_rate < <(grep "^$pair " "$folder/classes/pairs.txt") ||
  { echo "no pair '$pair' in $folder/classes/pairs.txt" >&2; exit 2; }
[ -d "$recipes" ] || { echo "no protocol '${4:-fast}'; there are: $(cd "$folder/classes" && echo */)" >&2; exit 2; }
export data out recipes student assistant learning_rate classes=${CLASSES:-0}
export results=${RESULTS:-$out/results-{hardware\}.csv}
jobs=${JOBS:-$(default_jobs)}

train_on_labels() { # RUN MODEL key=value...: a teacher, or a student without one
  $facekd train "$data" "$1" --recipe "$recipes/train.yaml" "model.name=$2" "data.classes=$classes" "${@:3}"
}

distill() { # RUN PLAN MODEL key=value...: a student along a plan
  $facekd distill "$data" "$2" "$1" --recipe "$recipes/distill.yaml" "student.name=$3" "data.classes=$classes" "${@:4}"
}

train_student() { # METHOD SEED: train one student and measure it
  local run="$out/$1-seed$2"
  case $1 in
    labels) train_on_labels "$run" "$student" "seed=$2" "training.learning_rate=$learning_rate" route.every_epochs=0 ;;
    assistant) # teacher, assistant, student (Mirzadeh et al., AAAI 2020)
      distill "$run/assistant" "$out/plans/kd.json" "$assistant" "seed=$2" route.every_epochs=1000
      $facekd plan "$run/assistant" "$out/plans/assistant-seed$2.json" --strategy final --anchors 1
      distill "$run" "$out/plans/assistant-seed$2.json" "$student" "seed=$2" "training.learning_rate=$learning_rate" ;;
    *)
      local plan="$out/plans/$1.json" method=kd
      [ -f "$plan" ] || plan="$out/plans/kd.json" method=$1
      distill "$run" "$plan" "$student" "seed=$2" "training.learning_rate=$learning_rate" "method=$method" ;;
  esac
  measure_classifier "$run" "$data" "$classes" "$out/teacher"
}
export -f train_on_labels distill train_student

train_on_labels "$out/teacher" "$teacher"
measure_classifier "$out/teacher" "$data" "$classes" "$out/teacher"
methods=${METHODS:-labels kd restarts rco progress}
for method in kd rco $methods; do make_plan "$method"; done
for seed in ${SEEDS:-0 1 2}; do
  for method in $methods; do echo "$method $seed"; done
done | OMP_NUM_THREADS=$(threads_per_job "$jobs") run_jobs "$jobs" train_student
$facekd report "$out/teacher" "$out"/*-seed? --out "$out"
