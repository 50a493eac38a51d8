"""Commands that die.

``python -m tests.api.dying HOW MARK ...`` is ``facekd ...`` whose second process dies in its 20th step, once: it is
killed if HOW is ``killed``, else it raises an exception. The file MARK records that it died.
``python -m tests.api.dying SECONDS ...`` is ``facekd ...`` that is killed that long after its training began.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from facekd.cli.main import main
from facekd.training.train_step import TrainStep
from facekd.training.trainer import Trainer

DYING_STEP = 20


def die_in_step(how: str, mark: Path) -> Any:
    """A training step that dies once, in the second process."""
    real_step = TrainStep.__call__
    steps = 0

    def step(self: TrainStep, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == DYING_STEP and not mark.exists() and os.environ["RANK"] == "1":
            mark.touch()
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ArithmeticError("the abacus is broken")
        return real_step(self, *arguments)

    return step


def die_after(seconds: float) -> Any:
    """A training that is killed after some time."""
    real_fit = Trainer.fit

    def fit(self: Trainer) -> None:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        real_fit(self)

    return fit


if __name__ == "__main__":
    if sys.argv[1][0].isdigit():
        Trainer.fit = die_after(float(sys.argv[1]))  # type: ignore[method-assign]
        main(sys.argv[2:])
    else:
        TrainStep.__call__ = die_in_step(sys.argv[1], Path(sys.argv[2]))  # type: ignore[method-assign]
        main(sys.argv[3:])
