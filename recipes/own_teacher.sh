#!/usr/bin/env bash
# A strong teacher and faces without labels: the teacher in smaller precisions, parts of it with its own weights, and
# fresh students, all against the teacher; beside them the same students from labels and along a route of our own.
#
#   recipes/own_teacher.sh TEACHER FACES OUT
#
# TEACHER   the .onnx of a recognizer.
# FACES     folder with train/ and distractors/ (face sets) and cfp/ (with pairs_ff.csv and pairs_fp.csv).
# OUT       folder for all of it; the same command continues after a kill.
#
# Environment variables:
# STUDENTS  names in recipes/own_teacher/students.txt, default all; NAME-labels trains the student from the labels of
#           FACES/train alone.
# SEEDS     seeds of the students, default "0".
# RESULTS   the CSV that receives one row per model; default OUT/results-{hardware}.csv.
# PYTHON    the Python of facekd, default python; FACEKD: the command, default facekd.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
. "$folder/common.sh"
[ $# -ge 3 ] || { usage; exit 2; }
teacher=$1 faces=$2 out=$3
results=${RESULTS:-$out/results-{hardware\}.csv}
list=$folder/own_teacher/students.txt
students=${STUDENTS:-$(awk '!/^#/ && NF { print $1 }' "$list")}
sets=$out/faces tests=$out/tests

measure() { # RUN: frontal and profile pairs, alone and in a gallery of the teacher; identification; the package; a row
  measure_faces "$1" "$tests"
  for kind in ff fp; do
    [ -f "$1/results/across-verify-cfp_$kind.json" ] ||
      $facekd eval verify --model "$1" --gallery-model "$teacher" --images "$faces/cfp" \
        --pairs "$faces/cfp/pairs_$kind.csv" --name "cfp_$kind"
  done
  [ -d "$1/package" ] || $facekd export "$1" "$1/package" --calibration "$sets/crops" \
    --pairs "$faces/cfp/pairs_ff.csv" --images "$faces/cfp" --gate accuracy=1
}

student_keys() { # NAME: the epochs, and the keys of the recipe
  awk -v name="$1" '$1 == name { $1 = ""; print; found = 1 } END { exit !found }' "$list" ||
    { echo "no student '$1' in $list" >&2; exit 2; }
}

train_student() { # NAME SEED
  local run=$out/$1-seed$2 keys
  read -r -a keys <<< "$(student_keys "${1%-labels}")"
  local arguments=("training.epochs=${keys[0]}" "seed=$2")
  for key in "${keys[@]:1}"; do
    case $key in
      prune=*)
        local part=$out/part-${key#prune=}.safetensors
        [ -f "$part" ] || $facekd prune "$teacher" "$sets/crops" "$part" --share "${key#prune=}"
        arguments+=("student.weights=$part") ;;
      *) arguments+=("$key") ;;
    esac
  done
  if [[ $1 = *-labels ]]; then
    $facekd train "$faces/train" "$run" --recipe "$folder/own_teacher/labels.yaml" "${arguments[@]/#student./model.}"
  else
    $facekd distill "$sets/crops" "$out/plan.json" "$run" --recipe "$folder/own_teacher/distill.yaml" "${arguments[@]}"
  fi
  measure "$run"
}

mkdir -p "$out" "$tests"
[ -d "$sets" ] || ${PYTHON:-python} "$folder/own_teacher/divide.py" "$faces" "$sets"
ln -sfn "$(cd "$faces/cfp" && pwd)" "$tests/cfp"
ln -sfn "$(cd "$sets/distractors" && pwd)" "$tests/distractors"
[ -f "$out/teacher/route.json" ] || $facekd route import "$teacher" "$out/teacher" --images "$sets/crops"
$facekd plan "$out/teacher" "$out/plan.json" --strategy final --anchors 1
[ -d "$out/teacher-package" ] || $facekd export "$teacher" "$out/teacher-package" --calibration "$sets/crops" \
  --pairs "$faces/cfp/pairs_ff.csv" --images "$faces/cfp" --gate accuracy=1
for seed in ${SEEDS:-0}; do
  for student in $students; do train_student "$student" "$seed"; done
done
