"""What ``facekd eval`` does: one thin function a protocol."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Column, Table

from facekd.cli.console import Command, out
from facekd.errors import FacekdError

if TYPE_CHECKING:
    from facekd.evaluation.identification.result import IdentificationResult


def _verify(a: argparse.Namespace) -> int:
    from facekd.api.evaluate.verify import verify

    out.print(verify(a.model, a.pairs, a.images, a.json, a.flip, a.device, a.name).describe())
    return 0


def _megaface(a: argparse.Namespace) -> int:
    from facekd.api.evaluate.megaface import compare_models, megaface

    if a.compare:
        if a.model or a.probes or a.distractors:
            raise FacekdError("--compare takes two result files and nothing else; measure first, then compare")
        for difference in compare_models(*a.compare):
            out.print(difference.describe())
        return 0
    results = megaface(a.model, a.probes, a.distractors, lists=a.lists, ending=a.ending, sizes=a.sizes,
                       set_index=a.set_index, noise=a.noise, cleaning=a.cleaning, int8=a.int8, features=a.features,
                       out=a.out, json=a.json, flip=a.flip, device=a.device, name=a.name or "megaface")
    if len(results) == 1:
        out.print(next(iter(results.values())).describe())
    elif results:
        _side_by_side(results)
    return 0


def _side_by_side(results: Mapping[str, IdentificationResult]) -> None:
    """A table of the results, and once each what is to be said about them."""
    fars = [far for far in next(iter(results.values())).tar if any(r.tar[far] is not None for r in results.values())]
    table = Table(Column("test", no_wrap=True), "pairs", "distractors", "rank-1", "rank-10",
                  *(f"TAR @ {far}" for far in fars), caption="In percent [95 % bootstrap interval over people].")
    for title, r in results.items():
        tars = [(r.tar[far], r.tar_interval[far]) for far in fars]
        table.add_row(title, f"{r.pairs:,}", f"{r.distractors:,}", _rate(r.rank1, r.rank1_interval),
                      f"{100 * r.cmc[9]:.2f}", *("–" if tar is None else _rate(tar, ends) for tar, ends in tars))
    out.print(table, soft_wrap=False)
    for note in dict.fromkeys(note for result in results.values() for note in result.notes):
        out.print(note)


def _rate(value: float, ends: tuple[float, float] | None) -> str:
    return f"{100 * value:.2f}" + (f"\n[{100 * ends[0]:.2f}, {100 * ends[1]:.2f}]" if ends else "")


def _ijb(a: argparse.Namespace) -> int:
    from facekd.api.evaluate.ijb import ijb

    out.print(ijb(a.features, a.meta, a.model, a.use_norm_score, a.use_detector_score, a.json, a.name).describe())
    return 0


def _search(a: argparse.Namespace) -> int:
    from facekd.api.evaluate.identify import search

    out.print(search(a.probes, a.gallery, a.model, a.by, a.json, a.flip, a.device, a.name).describe())
    return 0


def _all(a: argparse.Namespace) -> int:
    from facekd.api.evaluate.evaluate_all import evaluate_all

    suite = evaluate_all(a.model, a.sets, a.json, a.flip, a.device, a.features)
    out.print(suite.to_rich(), soft_wrap=False)
    return 1 if suite.failed else 0


def _classify(a: argparse.Namespace) -> int:
    from facekd.api.evaluate.classify import classify

    found = classify(a.model, a.data, a.json, a.teacher, a.split, a.classes, a.device, a.name)
    out.print(found.describe())
    return 0


EVALUATIONS: dict[str, Command] = {
    "eval verify": _verify, "eval megaface": _megaface, "eval ijb": _ijb, "eval search": _search,
    "eval all": _all, "eval cifar": _classify, "eval imagenet": _classify,
}
