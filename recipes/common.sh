# shellcheck shell=bash disable=SC2154  # the scripts assign 'out' and 'results'
# Functions for the scripts of this folder, which source this file. They read the exported variables
#   facekd   the command
#   out      the folder of the runs and plans
#   results  the CSV that receives one row per finished run
facekd=${FACEKD:-facekd}

usage() { # print the comment at the top of the script
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

have_gpu() {
  command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1
}

default_jobs() { # the number of concurrent jobs: one per core, or two on a graphics card
  if have_gpu; then echo 2; else nproc; fi
}

threads_per_job() { # JOBS: CPU threads for each of several concurrent jobs
  echo $(($(nproc) / $1 > 0 ? $(nproc) / $1 : 1))
}

run_jobs() { # JOBS FUNCTION: call an exported function for each line of the input, several at a time
  xargs -P "$1" -L 1 bash -euo pipefail -c "$2 \"\$@\"" "$2"
}

measure_classifier() { # RUN DATA CLASSES TEACHER: accuracy on the test images, agreement with the teacher, a row
  [ -f "$1/results/classify-test.json" ] ||
    $facekd eval cifar --model "$1" --data "$2" --classes "$3" --teacher "$4" --name test
  $facekd report "$1" --results "$results"
}

measure_faces() { # RUN FACES: verification on frontal and on frontal-profile pairs, identification, a row
  for kind in ff fp; do
    [ -f "$1/results/verify-cfp_$kind.json" ] ||
      $facekd eval verify --model "$1" --images "$2/cfp" --pairs "$2/cfp/pairs_$kind.csv" --name "cfp_$kind"
  done
  [ -f "$1/results/megaface-cfp.json" ] ||
    $facekd eval megaface --model "$1" --probes "$2/cfp" --distractors "$2/distractors" --name cfp
  $facekd report "$1" --results "$results"
}

make_plan() { # METHOD [TEACHER PLANS]: write the plan that a method follows, PLANS/METHOD.json; that of rco comes first
  local teacher=${2:-$out/teacher} plans=${3:-$out/plans}
  local paths=("$teacher" "$plans/$1.json") rco="$plans/rco.json"
  case $1 in
    labels | assistant) ;;                                                 # no teacher; its own teacher
    kd | mimic) $facekd plan "${paths[@]}" --strategy final --anchors 1 ;;  # the trained teacher
    restarts) $facekd plan "${paths[@]}" --strategy final --anchors 4 ;;    # the restarts of RCO without its anchors
    rco) $facekd plan "${paths[@]}" --strategy equal --anchors 4 --show ;;
    rco-aligned) $facekd plan "${paths[@]}" --strategy equal --anchors 4 --aligned ;; # rotated into the end's basis
    equal | progress | change | greedy) $facekd plan "${paths[@]}" --strategy "$1" --anchors 4 ;;
    plateau) $facekd plan "${paths[@]}" --strategy plateau ;;
    mean) $facekd plan "${paths[@]}" --strategy mean --anchors 4 ;;         # the anchors of RCO as an ensemble
    point[123]) $facekd plan "${paths[@]}" --strategy manual --of "$rco" --stages "$((${1#point} - 1))" ;; # one anchor
    late) $facekd plan "${paths[@]}" --strategy manual --of "$rco" --stages 2 3 ;; # the last two anchors of RCO
    *) $facekd methods show "$1" >/dev/null ;;                             # a loss, along the plan of kd or mimic
  esac
}

export -f measure_classifier measure_faces
export facekd
