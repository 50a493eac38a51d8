"""The records accept what evaluations write."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facekd.evaluation.agreement.agree import PairScores, measure_agreement
from facekd.evaluation.agreement.pairs import choose_pairs
from facekd.evaluation.agreement.thresholds import TeacherThreshold
from facekd.evaluation.groups.result import GroupRates, GroupsResult, WorstRatio
from facekd.evaluation.statistics.estimate import Estimate
from facekd.evaluation.verification.all_impostors import AllImpostors
from facekd.evaluation.verification.probability import calibrate
from facekd.io.documents import read_json
from facekd.io.files import write_json
from facekd.io.records import Record
from facekd.reporting.comparison_records import AgreeResult, AllImpostorsRecord, GroupsRecord, ProbabilityRecord


def read_back(schema: type[Record], content: dict[str, object], folder: Path) -> Record:
    write_json(folder / "r.json", content)
    return schema.model_validate(read_json(folder / "r.json"))


def test_agreement_is_accepted(tmp_path: Path) -> None:
    pairs = choose_pairs(9, 100)
    scores = np.random.default_rng(0).normal(size=len(pairs))
    result = measure_agreement(np.linspace(0, 1, 9), (4, 4), pairs, PairScores(scores, scores), 9,
                               [TeacherThreshold(0.1, None, "as given")], resamples=5)
    assert read_back(AgreeResult, result.to_dict(), tmp_path)


def test_groups_are_accepted(tmp_path: Path) -> None:
    rate = Estimate(0.1, (0.0, 0.2))
    result = GroupsResult(0.3, None, "as given", (GroupRates("a", 3, 10, 1, rate, 0, 0, None),),
                          WorstRatio("a", "b", 2.0, (1.0, None)), None, ())
    assert read_back(GroupsRecord, result.to_dict(), tmp_path)


def test_all_impostors_are_accepted(tmp_path: Path) -> None:
    result = AllImpostors(10, 3, "folders", {"1e-1": 0.4, "1e-2": None}, {"1e-1": (0.3, 0.5), "1e-2": None},
                          {"1e-1": 0.9, "1e-2": None}, {"1e-1": (0.8, 1.0), "1e-2": None}, ())
    assert read_back(AllImpostorsRecord, result.to_dict(), tmp_path)


def test_a_calibration_is_accepted(tmp_path: Path) -> None:
    same = np.arange(100) % 2 == 0
    result = calibrate(np.random.default_rng(0).normal(same, 1), same, np.arange(100) % 4, draws=5)
    assert result is not None and read_back(ProbabilityRecord, result.to_dict(), tmp_path)
