"""Print the congruence loss of students with the anchors of a plan, on held-out images.

    python tools/congruence.py runs/tiny20/plans/rco.json runs/tiny20/*-seed? > results/runs/tiny20-congruence-cpu2.txt

There is a row per student and a column per anchor; the last row is the distance of the teacher's end from each anchor.
The diagonal shows the lower bound of Route Constrained Optimization (Jin et al., ICCV 2019): a student that followed an
early point alone ends closer to that point than a student that followed the last point ends to the last point.
"""

import sys
from pathlib import Path

from facekd.api.plan import show_plan
from facekd.route.plan import Plan
from facekd.utils.environment import hardware


def main(plan: Path, students: list[Path]) -> None:
    """Print the table."""
    anchors = [stage.points[-1] for stage in Plan.read(plan)[0].stages]
    print(f"congruence loss with points {', '.join(map(str, anchors))} of the route, {hardware()['label']}")
    width = max(len(student.name) for student in students)
    print(" " * width, *(f"{f'point {anchor}':>9}" for anchor in anchors))
    profiles = []
    for student in students:
        profiles = show_plan(plan, student)[0]
        losses = (f"{profiles[anchor].congruence_to_student:9.4f}" for anchor in anchors)
        print(f"{student.name:<{width}}", *losses, flush=True)
    print(f"{'teacher':<{width}}", *(f"{profiles[anchor].congruence_to_end:9.4f}" for anchor in anchors))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
