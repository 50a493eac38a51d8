"""Print how much of the distance of a face route's points from its end is a rotation, on held-out images.

    python tools/rotation.py runs/faces_tiny/plans/rco.json > results/runs/faces_rotation-cpu2.txt

The last column is the share of the distance that the best rotation removes, see `facekd.route.rotation`.
"""

import sys
from pathlib import Path

from facekd.api.plan import show_plan
from facekd.utils.environment import hardware


def main(plan: Path) -> None:
    """Print the table."""
    profiles = show_plan(plan)[0]
    print(f"mean squared distance from the end of the route at unit length, {hardware()['label']}")
    print("point  epoch  AUC     distance  rotated  explained by the rotation")
    for profile in profiles[:-1]:
        if profile.congruence_to_end is None or profile.aligned_to_end is None or profile.metric is None:
            raise SystemExit(f"{plan}: the route has no embeddings, no recipe, or too few held-out images")
        explained = 1 - profile.aligned_to_end / profile.congruence_to_end
        print(f"{profile.number:5}  {profile.point.epoch:5g}  {profile.metric:.4f}  {profile.congruence_to_end:8.4f}  "
              f"{profile.aligned_to_end:7.4f}  {explained:25.0%}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
