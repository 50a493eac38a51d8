#!/usr/bin/env bash
# Route Constrained Optimization, its controls and every other method, on a closed set of classes.
#
#   recipes/classes.sh DATA OUT PAIR [PROTOCOL]
#
# DATA  a class set: a CIFAR archive (python or binary), Parquet, or a folder with train/ and val/ of one folder a class.
# OUT   receives the runs, the plans and report pages; the same command continues after a kill.
# PAIR  teacher and student, a name in recipes/classes/pairs.txt.
# PROTOCOL is a folder of recipes/classes/: crd (240 epochs), fast (30 epochs, one cycle; default), short (20 epochs).
# Environment: METHODS (default "labels kd restarts rco greedy"; also plateau, mean, late, point1, point2, point3,
#   assistant, and whatever 'facekd methods' lists, alone or joined: at, prokt, kd+rkd, ...), SEEDS (default "0 1 2"),
#   CLASSES (only the first so many; default all), RESULTS (the CSV that receives a row as each run ends; default
#   OUT/results-{hardware}.csv), JOBS (students trained side by side), FACEKD (the command).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 3 ] || { sed -n '2,16s/^# \{0,1\}//p' "$0"; echo "Pairs:"; grep -v '^#' "$here/classes/pairs.txt"; exit 2; }
data=$1 out=$2 pair=$3 recipes=$here/classes/${4:-fast}
read -r _ teacher student assistant rate < <(grep "^$pair " "$here/classes/pairs.txt") ||
  { echo "no pair '$pair' in $here/classes/pairs.txt" >&2; exit 2; }
[ -d "$recipes" ] || { echo "no protocol '${4:-fast}'; there are: $(cd "$here/classes" && echo */)" >&2; exit 2; }
export facekd=${FACEKD:-facekd} data out recipes student assistant rate classes=${CLASSES:-0}
export results=${RESULTS:-$out/results-{hardware\}.csv}
have_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }
jobs=${JOBS:-$(have_gpu && echo 2 || nproc)}

measure() { # RUN: top-1 on the test images, agreement with the teacher; a row of the results
  [ -f "$1/results/classify-test.json" ] ||
    $facekd eval cifar --model "$1" --data "$data" --classes "$classes" --teacher "$out/teacher" --name test
  $facekd report "$1" --results "$results"
}

teach() { # RUN MODEL key=value...: from labels
  $facekd teach "$data" "$1" --recipe "$recipes/teach.yaml" "model.name=$2" "data.classes=$classes" "${@:3}"
}

distill() { # RUN PLAN MODEL key=value...: along a plan
  $facekd distill "$data" "$2" "$1" --recipe "$recipes/distill.yaml" "student.name=$3" "data.classes=$classes" "${@:4}"
}

train() { # METHOD SEED: train one student and measure it
  local run="$out/$1-seed$2"
  case $1 in
    labels) teach "$run" "$student" "seed=$2" "schedule.learning_rate=$rate" route.every=0 ;;
    assistant) # teacher, assistant, student (Mirzadeh et al., AAAI 2020)
      distill "$run/assistant" "$out/plans/kd.json" "$assistant" "seed=$2" route.every=1000
      $facekd plan "$run/assistant" "$out/plans/assistant-seed$2.json" --strategy final --anchors 1
      distill "$run" "$out/plans/assistant-seed$2.json" "$student" "seed=$2" "schedule.learning_rate=$rate" ;;
    *)
      local plan="$out/plans/$1.json" method=kd
      [ -f "$plan" ] || plan="$out/plans/kd.json" method=$1
      distill "$run" "$plan" "$student" "seed=$2" "schedule.learning_rate=$rate" "method=$method" ;;
  esac
  measure "$run"
}
export -f measure teach distill train

. "$here/plans.sh"
teach "$out/teacher" "$teacher"
measure "$out/teacher"
methods=${METHODS:-labels kd restarts rco greedy}
for method in kd rco $methods; do make_plan "$method"; done
for seed in ${SEEDS:-0 1 2}; do
  for method in $methods; do echo "$method $seed"; done
done | OMP_NUM_THREADS=$(($(nproc) / jobs > 0 ? $(nproc) / jobs : 1)) xargs -P "$jobs" -L 1 bash -euo pipefail -c 'train "$@"' train
$facekd report "$out/teacher" "$out"/*-seed? --out "$out"
