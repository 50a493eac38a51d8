#!/usr/bin/env bash
# Route Constrained Optimization against its controls, on real faces.
#
#   recipes/faces_rco.sh FACES OUT [PROFILE]
#
# FACES holds train/ and distractors/ (RecordIO) and cfp/ (an image folder with pairs_ff.csv and pairs_fp.csv).
# OUT   receives every run, the plans, report pages and summary-HARDWARE.json; the same command continues after a kill.
# PROFILE is a folder of recipes/faces_rco/: cpu (48 px, some 75 minutes on 2 cores) or gpu (112 px); default: what is here.
# Environment: SEEDS (default "0 1 2"), JOBS (students trained side by side), FACEKD (the command, default facekd).
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
faces=$1 out=$2
have_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }
profile=${3:-$(have_gpu && echo gpu || echo cpu)}
recipes=$(cd "$(dirname "$0")" && pwd)/faces_rco/$profile
[ -d "$recipes" ] || { echo "no profile '$profile'; there are: $(ls "$(dirname "$recipes")" | xargs)" >&2; exit 2; }
export facekd=${FACEKD:-facekd} faces out recipes
seeds=${SEEDS:-0 1 2}
jobs=${JOBS:-$([ "$profile" = cpu ] && nproc || echo 2)}
mkdir -p "$out"

$facekd doctor "$faces/train" "$faces/distractors" "$faces/cfp" --json "$out/doctor.json"

measure() { # RUN: verification on frontal and on frontal-profile pairs, identification among the distractors
  for kind in ff fp; do
    [ -f "$1/results/verify-cfp_$kind.json" ] ||
      $facekd eval verify --model "$1" --images "$faces/cfp" --pairs "$faces/cfp/pairs_$kind.csv" --name "cfp_$kind"
  done
  [ -f "$1/results/megaface-cfp.json" ] ||
    $facekd eval megaface --model "$1" --probes "$faces/cfp" --distractors "$faces/distractors" --name cfp
}

student() { # STUDENT METHOD SEED: train one student and measure it
  local run="$out/$1/$2-seed$3"
  if [ "$2" = labels ]; then
    $facekd teach "$faces/train" "$run" "seed=$3" --recipe "$recipes/$1/labels.yaml"
  else
    $facekd distill "$faces/train" "$out/plans/$2.json" "$run" "seed=$3" --recipe "$recipes/$1/distill.yaml"
  fi
  measure "$run"
}
export -f measure student

$facekd teach "$faces/train" "$out/teacher" --recipe "$recipes/teacher.yaml"
measure "$out/teacher"
$facekd plan "$out/teacher" "$out/plans/mimic.json" --strategy final --anchors 1
$facekd plan "$out/teacher" "$out/plans/restarts.json" --strategy final --anchors 4
$facekd plan "$out/teacher" "$out/plans/rco.json" --strategy equal --anchors 4

for folder in "$recipes"/*/; do
  name=$(basename "$folder")
  for seed in $seeds; do
    for method in labels mimic restarts rco; do echo "$name $method $seed"; done
  done
done | OMP_NUM_THREADS=$(($(nproc) / jobs > 0 ? $(nproc) / jobs : 1)) xargs -P "$jobs" -L 1 bash -euo pipefail -c 'student "$@"' student

for folder in "$recipes"/*/; do
  name=$(basename "$folder")
  first="$out/$name/rco-seed${seeds%% *}"
  [ -d "$first/package" ] ||
    $facekd export "$first" "$first/package" --calibration "$faces/train" \
      --pairs "$faces/cfp/pairs_ff.csv" --images "$faces/cfp"
done
$facekd report "$out/teacher" "$out"/*/*-seed* --out "$out"
