"""How near students came to the anchors of a plan: their congruence loss, on images that nobody was trained on.

    python tools/congruence.py runs/tiny20/plans/rco.json runs/tiny20/*-seed? > results/runs/tiny20-congruence-cpu2.txt

A row a student, a column an anchor; the last row is the teacher's own distance from each anchor to its end. The
lower-bound claim of Route Constrained Optimization (Jin et al., ICCV 2019) is in the diagonal: a student that followed
an early point alone ends nearer to it than one that followed the last point comes to that.
"""

import sys
from pathlib import Path

from facekd.api.plan import show
from facekd.route.plan import Plan
from facekd.run import hardware


def main(plan: Path, students: list[Path]) -> None:
    """Print the table."""
    anchors = [leg.points[-1] for leg in Plan.read(plan)[0].legs]
    print(f"congruence loss with points {', '.join(map(str, anchors))} of the route, {hardware()['label']}")
    width = max(len(student.name) for student in students)
    print(" " * width, *(f"{f'point {anchor}':>9}" for anchor in anchors))
    places = []
    for student in students:
        places = show(plan, student)[0]
        print(f"{student.name:<{width}}", *(f"{places[anchor].to_student:9.4f}" for anchor in anchors), flush=True)
    print(f"{'teacher':<{width}}", *(f"{places[anchor].to_end:9.4f}" for anchor in anchors))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
