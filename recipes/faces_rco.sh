#!/usr/bin/env bash
# Route Constrained Optimization, its controls and every other method, on real faces.
#
#   recipes/faces_rco.sh FACES OUT [PROFILE]
#
# FACES holds train/ and distractors/ (RecordIO) and cfp/ (an image folder with pairs_ff.csv and pairs_fp.csv).
# OUT   receives every run, the plans, report pages and summary-HARDWARE.json; the same command continues after a kill.
# PROFILE is a folder of recipes/faces_rco/: cpu (48 px, some 75 minutes on 2 cores), cpu-steps (the same, for greedy and
#   plateau) or gpu (112 px); default: cpu or gpu, what is here.
# Environment: METHODS (default "labels mimic restarts rco"; also greedy, plateau, mean, point1, point2, point3, and what
#   'facekd methods' lists, alone or joined, with its usual weight: adadistill, prokt, l2+rkd, ...), SEEDS (default
#   "0 1 2"), RESULTS (the CSV that receives a row as each run ends; default OUT/results-{hardware}.csv), JOBS (students
#   trained side by side), FACEKD (the command, default facekd).
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2; }
faces=$1 out=$2
have_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }
profile=${3:-$(have_gpu && echo gpu || echo cpu)}
recipes=$(cd "$(dirname "$0")" && pwd)/faces_rco/$profile
[ -d "$recipes" ] || { echo "no profile '$profile'; there are: $(ls "$(dirname "$recipes")" | xargs)" >&2; exit 2; }
export facekd=${FACEKD:-facekd} faces out recipes results=${RESULTS:-$out/results-{hardware\}.csv}
methods=${METHODS:-labels mimic restarts rco}
seeds=${SEEDS:-0 1 2}
jobs=${JOBS:-$([ "$profile" = cpu ] && nproc || echo 2)}
mkdir -p "$out"

. "$(dirname "$0")/plans.sh"
$facekd doctor "$faces/train" "$faces/distractors" "$faces/cfp" --json "$out/doctor.json"

measure() { # RUN: verification on frontal and on frontal-profile pairs, identification among the distractors
  for kind in ff fp; do
    [ -f "$1/results/verify-cfp_$kind.json" ] ||
      $facekd eval verify --model "$1" --images "$faces/cfp" --pairs "$faces/cfp/pairs_$kind.csv" --name "cfp_$kind"
  done
  [ -f "$1/results/megaface-cfp.json" ] ||
    $facekd eval megaface --model "$1" --probes "$faces/cfp" --distractors "$faces/distractors" --name cfp
  $facekd report "$1" --results "$results"
}

student() { # STUDENT METHOD SEED: train one student and measure it
  local run="$out/$1/$2-seed$3"
  if [ "$2" = labels ]; then
    $facekd teach "$faces/train" "$run" "seed=$3" --recipe "$recipes/$1/labels.yaml"
  elif [ -f "$out/plans/$2.json" ]; then
    $facekd distill "$faces/train" "$out/plans/$2.json" "$run" "seed=$3" --recipe "$recipes/$1/distill.yaml"
  else
    $facekd distill "$faces/train" "$out/plans/mimic.json" "$run" "seed=$3" "method=$2" --recipe "$recipes/$1/distill-method.yaml"
  fi
  measure "$run"
}
export -f measure student

$facekd teach "$faces/train" "$out/teacher" --recipe "$recipes/teacher.yaml"
measure "$out/teacher"
for method in rco mimic $methods; do make_plan "$method"; done

for folder in "$recipes"/*/; do
  name=$(basename "$folder")
  for seed in $seeds; do
    for method in $methods; do echo "$name $method $seed"; done
  done
done | OMP_NUM_THREADS=$(($(nproc) / jobs > 0 ? $(nproc) / jobs : 1)) xargs -P "$jobs" -L 1 bash -euo pipefail -c 'student "$@"' student

for folder in "$recipes"/*/; do
  name=$(basename "$folder")
  first="$out/$name/rco-seed${seeds%% *}"
  [ ! -d "$first" ] || [ -d "$first/package" ] ||
    $facekd export "$first" "$first/package" --calibration "$faces/train" \
      --pairs "$faces/cfp/pairs_ff.csv" --images "$faces/cfp" --max-drop 1
done
$facekd report "$out/teacher" "$out"/*/*-seed* --out "$out"
