"""Which network a compression ships: the teacher in a smaller precision, a part of it, or a fresh student."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from facekd.reporting.compression import CompressedModel
from facekd.utils.quantities import parse_bytes, parse_count, parse_milliseconds

DEFAULT_BYTES = "1MB"
"""The largest file if the user states no budget."""
MIN_COSINE = 0.95
"""A file of the teacher with a lower mean cosine to it is taken with a warning."""
MIN_SHARE = 0.1
"""Parts below this share of the teacher lose more than a fresh student of that size."""
BYTES_MARGIN = 0.92
"""The share of a budget of bytes that the estimate of a file's size may use: it is up to 6 % too low."""
WEIGHT_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
Kind = Literal["teacher", "part", "student"]


@dataclass(frozen=True)
class Budget:
    """What the shipped file may cost; None is no limit.

    Attributes:
        bytes: the size of the file.
        macs: multiply-adds for one image.
        milliseconds: the latency of one image on this machine, on one thread.
    """

    bytes: int | None = None
    macs: int | None = None
    milliseconds: float | None = None

    @staticmethod
    def parse(size: str | None, macs: str | None, latency: str | None) -> Budget:
        """Return the budget of texts like ``1MB``, ``100M`` and ``5ms``; without any, `DEFAULT_BYTES`.

        Raises:
            OptionError: a text is no such quantity.
        """
        if size is None and macs is None and latency is None:
            size = DEFAULT_BYTES
        return Budget(None if size is None else parse_bytes(size, "--budget"),
                      None if macs is None else parse_count(macs, "--macs"),
                      None if latency is None else parse_milliseconds(latency, "--latency"))

    def to_texts(self) -> tuple[str | None, str | None, str | None]:
        """Return size, multiply-adds and latency as texts that `parse` reads."""
        return (None if self.bytes is None else f"{self.bytes}B", None if self.macs is None else f"{self.macs}",
                None if self.milliseconds is None else f"{self.milliseconds:g}ms")

    def is_met_by(self, model: CompressedModel) -> bool:
        """Return whether a file is within the budget."""
        costs = ((self.bytes, model.bytes), (self.macs, model.macs), (self.milliseconds, model.milliseconds))
        return all(limit is None or (cost is not None and cost <= limit) for limit, cost in costs)

    def share_of(self, model: CompressedModel) -> tuple[float, float]:
        """Return the shares of multiply-adds and of weights that remain of a network within the budget, at most 1."""
        shares = [1.0]
        if self.macs is not None:
            shares.append(self.macs / model.macs)
        if self.milliseconds is not None and model.milliseconds is not None:
            shares.append(self.milliseconds / model.milliseconds)
        return min(shares), 1.0 if self.bytes is None else self._weight_share(model, self.bytes)

    @staticmethod
    def _weight_share(model: CompressedModel, limit: float) -> float:
        """Return the share of a network's weights with which its file has a number of bytes, at most 1.

        What a file holds besides weights (scales, slopes and biases of channels) grows with the number of channels, the
        square root of the number of weights: bytes(s) = weights s + rest sqrt(s).
        """
        weights = min(model.bytes, WEIGHT_BYTES[model.precision] * model.parameters)
        rest = model.bytes - weights
        root = (math.sqrt(rest**2 + 4 * weights * BYTES_MARGIN * limit) - rest) / (2 * weights)
        return min(1.0, root**2)


@dataclass(frozen=True)
class Choice:
    """The network that is shipped.

    Attributes:
        kind: ``teacher``: a file of the teacher; ``part``: a part of the teacher with its weights; ``student``: a
            fresh network.
        reason: why, as a sentence.
        precision: the precision of the teacher's file.
        share: the multiply-adds of a part, as a share of the teacher's.
        weight_share: the weights of a part likewise.
    """

    kind: Kind
    reason: str
    precision: str = ""
    share: float = 1.0
    weight_share: float = 1.0


def choose_network(teacher: Sequence[CompressedModel], problem: str, budget: Budget) -> Choice:
    """Choose the network that loses least within a budget, the cheapest to make first.

    Args:
        teacher: the measured files of the teacher; empty if there are none.
        problem: why the teacher's graph cannot become a smaller network; empty if it can.
        budget: the budget.
    """
    fitting = [model for model in teacher if budget.is_met_by(model)]
    if fitting:
        best = max(fitting, key=lambda model: (model.cosine or 0, -model.bytes))
        cosine = best.cosine or 0
        warning = "" if cosine >= MIN_COSINE else (f", but its mean cosine to the teacher is only {cosine:.3f}: try "
                                                   "'facekd export --qat-epochs'")
        return Choice("teacher", f"the teacher itself meets the budget in {best.precision}; nothing has to be "
                      f"trained{warning}", precision=best.precision)
    if not teacher:
        return Choice("student", f"the teacher cannot become a smaller network ({problem}); a fresh student learns its "
                      "embeddings")
    smallest = min(teacher, key=lambda model: model.bytes)
    share, weight_share = budget.share_of(smallest)
    if min(share, weight_share) >= MIN_SHARE:
        return Choice("part", f"a part of the teacher with {share:.0%} of its multiply-adds and {weight_share:.0%} of "
                      "its weights keeps the teacher's own weights", share=share, weight_share=weight_share)
    return Choice("student", f"the budget is {min(share, weight_share):.1%} of the teacher, too little for a part of "
                  f"it (at least {MIN_SHARE:.0%}); a fresh student learns its embeddings")
