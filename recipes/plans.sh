# The plans that methods follow, for recipes/faces_rco.sh and recipes/classes.sh; needs $facekd and $out.

anchor() { # NUMBER: the point of RCO's anchor, from 1
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["legs"][int(sys.argv[2]) - 1]["points"][0])' \
    "$out/plans/rco.json" "$1"
}

make_plan() { # METHOD: write the plan it follows
  local plan=("$out/teacher" "$out/plans/$1.json")
  case $1 in
    labels | assistant) return ;;                                            # no teacher, or a plan of its own
    kd | mimic) $facekd plan "${plan[@]}" --strategy final --anchors 1 ;;    # the final teacher
    restarts) $facekd plan "${plan[@]}" --strategy final --anchors 4 ;;      # RCO's restarts without its anchors
    rco) $facekd plan "${plan[@]}" --strategy equal --anchors 4 --show ;;
    greedy) $facekd plan "${plan[@]}" --strategy greedy --anchors 4 ;;
    plateau) $facekd plan "${plan[@]}" --strategy plateau ;;
    mean) $facekd plan "${plan[@]}" --strategy mean --anchors 4 ;;           # RCO's anchors all at once
    point[123]) $facekd plan "${plan[@]}" --strategy manual --points "$(anchor "${1#point}")" ;;
    late) $facekd plan "${plan[@]}" --strategy manual --points "$(anchor 3)" "$(anchor 4)" ;; # a shorter route
    *) $facekd methods show "$1" >/dev/null ;;                               # a loss, along the plan kd or mimic
  esac
}
