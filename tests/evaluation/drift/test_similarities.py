from __future__ import annotations

import json

import numpy as np
import pytest

from facekd.evaluation.drift.similarities import describe_change, measure_similarities

ROWS = (np.random.default_rng(0).normal(size=(60, 16)) * np.linspace(1, 3, 60)[:, None]).astype(np.float32)


def test_quantiles_are_numpys() -> None:
    found = measure_similarities(ROWS)
    assert found is not None
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[np.triu_indices(60, 1)]
    assert (found.images, found.pairs) == (60, 1770)
    assert found.cosines["0.99"] == pytest.approx(np.quantile(cosines, 0.99), abs=1e-6)
    assert found.lengths["0.5"] == pytest.approx(np.median(np.linalg.norm(ROWS, axis=1)), rel=1e-6)


def test_pairs_of_one_person_are_left_out() -> None:
    found = measure_similarities(ROWS, np.arange(60) // 2)
    assert found is not None and found.pairs == 1770 - 30
    assert measure_similarities(ROWS, np.zeros(60, np.int64)) is None


def test_embeddings_of_unit_length_have_no_lengths() -> None:
    found = measure_similarities(ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True))
    assert found is not None and found.lengths == {}
    assert len(describe_change(json.loads(json.dumps(found.to_dict())), found)) == 1


def test_shorter_embeddings_are_named() -> None:
    before, now = measure_similarities(ROWS), measure_similarities(ROWS / 10)
    assert before is not None and now is not None
    lines = describe_change(before.to_dict(), now)
    assert lines[0].startswith("cosine of strangers: 50% quantile") and lines[1].startswith("length of embeddings")
    assert lines[2].startswith("more than half of the new embeddings are shorter")
    assert len(describe_change(before.to_dict(), before)) == 2
