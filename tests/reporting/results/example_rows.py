"""Rows of a result set of a pair of networks for CIFAR-100."""

from __future__ import annotations

from facekd.reporting.results.rows import Row

KD = (0.701, 0.712, 0.704)
RCO = (0.722, 0.719, 0.731)


def a_row(name: str, seed: int, top1: float | None, **more: str | float) -> Row:
    """A row with the top-1 rate of the test ``t``, unless it is None."""
    figures: Row = {} if top1 is None else {"t.top1": top1, "t.top1_low": top1 - 0.01, "t.top1_high": top1 + 0.01}
    return {"name": name, "seed": seed, "model": "resnet20, 32 px, 100-d", "data": "cifar/train", "data_sha256": "ab12",
            "images": 50_000, "classes": 100, "epochs": 240.0, "hardware": "cpu2", "git": "abc1234", "t.images": 10_000,
            **figures, **more}


ROWS = [a_row("teacher", 0, 0.74), a_row("labels", 0, 0.69),
        *(a_row("kd", seed, top1) for seed, top1 in enumerate(KD)),
        *(a_row("rco", seed, top1) for seed, top1 in enumerate(RCO))]
