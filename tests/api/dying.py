"""Commands that die.

``python -m tests.api.dying HOW MARK ...`` is ``facekd ...`` whose second process dies in its 20th step, once;
``python -m tests.api.dying SECONDS ...`` one that is shot so long after its training began.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from facekd.cli.main import main
from facekd.training.train_step import Stepper
from facekd.training.trainer import Trainer

AT = 20


def dying(how: str, mark: Path) -> Any:
    real, taken = Stepper.__call__, 0

    def step(self: Stepper, *arguments: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == AT and not mark.exists() and os.environ["RANK"] == "1":
            mark.touch()
            if how == "shot":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ArithmeticError("the abacus is broken")
        return real(self, *arguments)

    return step


def timed(seconds: float) -> Any:
    real = Trainer.fit

    def fit(self: Trainer) -> None:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        real(self)

    return fit


if __name__ == "__main__":
    if sys.argv[1][0].isdigit():
        Trainer.fit = timed(float(sys.argv[1]))  # type: ignore[method-assign]
        main(sys.argv[2:])
    else:
        Stepper.__call__ = dying(sys.argv[1], Path(sys.argv[2]))  # type: ignore[method-assign]
        main(sys.argv[3:])
