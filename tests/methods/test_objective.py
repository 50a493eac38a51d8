from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facekd.config import DistillRecipe, LossRecipe
from facekd.config.loading import dump_recipe, load_recipe
from facekd.errors import ModelError
from facekd.methods.objective import mixture

Terms = dict[str, tuple[float | None, float, float]]


def terms(method: str, closed: bool, **losses: Any) -> Terms:
    """By name: weight, begin, end."""
    mixed = mixture(method, {name: LossRecipe.model_validate(value) for name, value in losses.items()}, closed)
    return {name: (recipe.weight, recipe.begin, recipe.end) for name, recipe in mixed.terms.items()}


def whole(**weights: float) -> Terms:
    """Terms that count all the time."""
    return {name: (weight, 0.0, 1.0) for name, weight in weights.items()}


@pytest.mark.parametrize(("closed", "expected"), [(True, whole(kd=0.9, labels=0.1)), (False, whole(l2=40))])
@pytest.mark.parametrize("method", ["", "  "])
def test_without_anything_it_is_the_usual(method: str, closed: bool, expected: Terms) -> None:
    assert terms(method, closed) == expected
    assert mixture(method, {}, closed).partner is None


@pytest.mark.parametrize(("method", "closed", "expected"), [
    ("kd", True, whole(kd=0.9, labels=0.1)),  # the benchmark of CRD
    ("rkd", True, whole(rkd=1, labels=1)),
    ("at", True, whole(at=1000, labels=1)),
    ("kd + at", True, whole(kd=0.9, at=1000, labels=0.1)),  # of several the smallest
    ("at+kd", True, whole(at=1000, kd=0.9, labels=0.1)),
    ("rkd + at", True, whole(rkd=1, at=1000, labels=1)),
    ("l2", True, whole(l2=1, labels=1)),
    ("l2", False, whole(l2=40)),  # a face network follows it without labels
    ("cosine", False, whole(cosine=80)),
    ("l2 + rkd", False, whole(l2=40, rkd=1)),
    ("rkd", False, whole(rkd=1, labels=1)),
    ("hint", False, whole(hint=100, labels=1)),
    ("proxyless-ours", False, {"proxyless-ours": (1, 0, 1)}),
])
def test_a_method_has_the_usual_weights(method: str, closed: bool, expected: Terms) -> None:
    assert terms(method, closed) == expected


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize(("method", "weight"), [("ab", 1), ("fsp", 50)])
def test_a_first_stage_ends_where_labels_begin(method: str, weight: float, closed: bool) -> None:
    assert terms(method, closed) == {method: (weight, 0, 0.125), "labels": (1, 0.125, 1)}


def test_beside_a_first_stage_another_loss_counts_from_the_beginning() -> None:
    assert terms("ab + kd", True) == {"ab": (1, 0, 0.125), "kd": (0.9, 0, 1), "labels": (0.1, 0.125, 1)}


@pytest.mark.parametrize(("method", "losses", "closed", "expected"), [
    ("", {"kd": 1}, True, whole(kd=1)),  # without a method they are all there is
    ("", {"kd": {}}, True, whole(kd=0.9)),
    ("", {"l2": 2, "labels": {}}, False, whole(l2=2, labels=1)),
    ("kd", {"labels": 0}, True, whole(kd=0.9)),
    ("kd", {"kd": 0.5}, True, whole(kd=0.5, labels=0.1)),
    ("kd", {"rkd": {}}, True, whole(kd=0.9, labels=0.1, rkd=1)),
    ("kd", {"kd": {"begin": 0.5}}, True, {"kd": (0.9, 0.5, 1), "labels": (0.1, 0, 1)}),
    ("l2", {"labels": 0.1}, False, whole(l2=40, labels=0.1)),
    ("kd", {"labels": {"begin": 0.5}}, True, {"kd": (0.9, 0, 1), "labels": (0.1, 0.5, 1)}),
    ("ab", {"ab": 2}, True, {"ab": (2, 0, 0.125), "labels": (1, 0.125, 1)}),
    ("ab", {"ab": {"end": 1}}, True, {"ab": (1, 0, 1), "labels": (1, 0.125, 1)}),
    ("ab", {"ab": {"end": 0.5}}, True, {"ab": (1, 0, 0.5), "labels": (1, 0.125, 1)}),
    ("dml", {"rkd": 3}, True, whole(kd=1, labels=1, rkd=3)),
])
def test_losses_are_set_on_top(method: str, losses: dict[str, Any], closed: bool, expected: Terms) -> None:
    assert terms(method, closed, **losses) == expected


@pytest.mark.parametrize("override", ["losses.ab=2", "losses.ab.end=1.0", "losses.labels.begin=0.5", "losses.kd=0.5"])
@pytest.mark.parametrize("method", ["ab + kd", "dml + ab"])
def test_a_recipe_that_was_written_and_read_back_means_the_same(tmp_path: Path, method: str, override: str) -> None:
    given = {"faces": "f", "plan": "p", "out": "o"}
    first = load_recipe(DistillRecipe, None, [f"method={method}", override], given)
    (tmp_path / "recipe.yaml").write_text(dump_recipe(first))
    second = load_recipe(DistillRecipe, tmp_path / "recipe.yaml", [])
    assert mixture(second.method, second.losses, True) == mixture(first.method, first.losses, True)


def test_a_partners_temperature_stays_beside_a_weight_that_is_set() -> None:
    recipe = mixture("dml", {"kd": LossRecipe(weight=2)}, True).terms["kd"]
    assert (recipe.weight, recipe.options) == (2, {"temperature": 1})


def test_options_stay_beside_the_usual_weight() -> None:
    recipe = mixture("kd", {"kd": LossRecipe.model_validate({"temperature": 2})}, True).terms["kd"]
    assert (recipe.weight, recipe.options) == (0.9, {"temperature": 2})


@pytest.mark.parametrize(("method", "closed", "expected"), [
    ("prokt", True, whole(kd=1)),  # the student sees no labels
    ("prokt", False, whole(cosine=80)),
    ("dml", True, whole(kd=1, labels=1)),
    ("dml", False, whole(cosine=1, labels=1)),
    ("dml + rkd", True, whole(kd=1, rkd=1, labels=1)),
    ("at + prokt", True, whole(kd=1, at=1000)),
])
def test_a_moving_teacher_brings_its_terms(method: str, closed: bool, expected: Terms) -> None:
    mixed = mixture(method, {}, closed)
    assert mixed.partner is not None and mixed.partner in method
    assert {name: (recipe.weight, recipe.begin, recipe.end) for name, recipe in mixed.terms.items()} == expected
    assert mixed.terms["kd" if closed else "cosine"].options == ({"temperature": 1} if closed else {})


def test_prokts_student_may_have_the_usual_mixture_of_kd() -> None:
    mixed = mixture("prokt + kd", {}, True)
    assert {name: recipe.weight for name, recipe in mixed.terms.items()} == {"kd": 0.9, "labels": 0.1}
    assert mixed.terms["kd"].options == {}


@pytest.mark.parametrize(("method", "message"), [
    ("kdd", "unknown method 'kdd': did you mean 'kd'"),
    ("kd + prokd", "unknown method 'prokd': did you mean 'prokt'"),
    ("zzz", "unknown method 'zzz': valid names: ab, .*dml.*prokt"),
    ("kd +", "unknown method ''"),
    ("labels", "unknown method 'labels'"),
])
def test_an_unknown_name_is_told_with_the_nearest(method: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        mixture(method, {}, True)


def test_an_unknown_loss_on_top_is_told_with_the_nearest() -> None:
    with pytest.raises(ModelError, match="unknown loss 'rkdd': did you mean 'rkd'"):
        mixture("kd", {"rkdd": LossRecipe()}, True)


@pytest.mark.parametrize("method", ["prokt + dml", "dml+kd+prokt"])
def test_two_partners_are_refused(method: str) -> None:
    with pytest.raises(ModelError, match="names two ways to train a teacher beside the student; choose one"):
        mixture(method, {}, True)


@pytest.mark.parametrize(("losses", "reached"), [
    ({"kd": {"begin": 0.25}}, "0%"),
    ({"kd": {"end": 0.5}}, "50%"),
    ({"kd": {"end": 0.4}, "labels": {"begin": 0.5}}, "40%"),
    ({"kd": {"end": 0.2}, "hint": {"begin": 0.1, "end": 0.4}, "labels": {"begin": 0.6}}, "40%"),
    ({"kd": {"end": 0.4}, "hint": {"begin": 0.2, "weight": 0}, "labels": {"begin": 0.5}}, "40%"),
])
def test_a_gap_is_refused(losses: dict[str, Any], reached: str) -> None:
    with pytest.raises(ModelError, match=f"no term counts when {reached} of the training is done; let one begin there"):
        terms("", True, **losses)


@pytest.mark.parametrize("begin", [0.3, 0.5])
def test_a_term_that_ends_before_it_begins_is_refused(begin: float) -> None:
    with pytest.raises(ModelError, match=rf"losses\.hint would never count: it begins at {begin} and ends at 0\.3"):
        terms("kd", True, hint={"begin": begin, "end": 0.3})


@pytest.mark.parametrize("losses", [
    {"kd": {"end": 0.4}, "labels": {"begin": 0.4}},
    {"labels": {"begin": 0.3}, "kd": {"end": 0.7}},
    {"kd": 1, "hint": {"begin": 0.2, "end": 0.3}},
])
def test_parts_that_meet_or_overlap_leave_no_gap(losses: dict[str, Any]) -> None:
    assert terms("", True, **losses).keys() == losses.keys()


@pytest.mark.parametrize(("method", "closed", "inside"), [
    ("kd", True, False), ("l2", False, False), ("at", True, True), ("at", False, True), ("kd + at", True, True),
    ("rkd", True, True), ("rkd", False, False),  # a face network's features are its embeddings
    ("dml", True, False), ("prokt", False, False), ("dml + rkd", True, True),
])
def test_it_looks_inside_for_maps_and_for_a_classifiers_features(method: str, closed: bool, inside: bool) -> None:
    assert mixture(method, {}, closed).looks_inside(closed) is inside
