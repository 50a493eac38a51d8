"""Print the top-1 of every method of recipes/parity.sh, and whether the positive control of RCO succeeds.

    python tools/parity_verdict.py OUT/problem*/p*-seed*/results/classify-test.json

The run folders are named pPROBLEM-METHOD-seedSEED, or pPROBLEM-METHOD-eEPOCHS-tTEMPERATURE-seedSEED. The exit code is 0
if RCO along the anchors of `progress` exceeds 95 % in the mean of all problems and seeds, and KD and its restarts stay
below 80 %; else 1.
"""

import json
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path

STRATEGY = "progress"
RUN_NAME = re.compile(r"p(?P<problem>\d+)-(?P<method>.+?)(-e\d+-t\d+)?-seed(?P<seed>\d+)")
MIN_RCO = 0.95
MAX_CONTROL = 0.80


def read_top1(files: list[Path]) -> dict[str, dict[int, list[float]]]:
    """Read the top-1 fractions, by method and problem."""
    top1: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        name = RUN_NAME.fullmatch(file.parent.parent.name)
        if name is None:
            raise SystemExit(f"{file}: the run folder is not named pPROBLEM-METHOD-seedSEED")
        result = json.loads(file.read_text(encoding="utf-8"))
        top1[name["method"]][int(name["problem"])].append(float(result["top1"]))
    return top1


def all_values(problems: dict[int, list[float]]) -> list[float]:
    """Return the values of all problems in one list."""
    return [value for values in problems.values() for value in values]


def describe(values: list[float]) -> str:
    """Format mean, standard deviation and number of fractions in percent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):6.2f} ± {100 * deviation:5.2f} (n = {len(values)})"


def main() -> int:
    """Print the table and the verdict; return the exit code."""
    top1 = read_top1([Path(name) for name in sys.argv[1:]])
    means = {method: statistics.fmean(all_values(problems)) for method, problems in top1.items()}
    lines = ["test top-1 in percent, mean ± standard deviation"]
    for method in sorted(means, key=lambda method: -means[method]):
        problems = "  ".join(f"problem {number}: {describe(values)}" for number, values in sorted(top1[method].items()))
        lines.append(f"{method:10} all: {describe(all_values(top1[method]))}  {problems}")
    needed = {STRATEGY, "kd", "restarts"}
    if needed - set(means):
        verdict, code = f"no verdict: {', '.join(sorted(needed - set(means)))} was not run", 1
    else:
        success = means[STRATEGY] > MIN_RCO and max(means["kd"], means["restarts"]) < MAX_CONTROL
        figures = (f"RCO ({STRATEGY}) {100 * means[STRATEGY]:.1f} %, KD {100 * means['kd']:.1f} %, "
                   f"restarts {100 * means['restarts']:.1f} %")
        verdict, code = f"the positive control {'succeeds' if success else 'fails'}: {figures}", 0 if success else 1
    sys.stdout.write("\n".join([*lines, verdict, ""]))
    return code


if __name__ == "__main__":
    sys.exit(main())
