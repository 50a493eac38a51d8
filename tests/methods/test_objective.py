from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facekd.config import DistillRecipe, LossRecipe
from facekd.config.loading import dump_recipe, load_recipe
from facekd.data.opening import open_faces
from facekd.errors import DataError, ModelError
from facekd.methods.objective import check_objective_labels, parse_objective

Terms = dict[str, tuple[float | None, float, float]]


def terms(method: str, closed_set: bool, **losses: Any) -> Terms:
    """By name: weight, begin, end."""
    recipes = {name: LossRecipe.model_validate(value) for name, value in losses.items()}
    objective = parse_objective(method, recipes, closed_set)
    return {name: (recipe.weight, recipe.begin, recipe.end) for name, recipe in objective.terms.items()}


def always(**weights: float) -> Terms:
    """Terms that count all the time."""
    return {name: (weight, 0.0, 1.0) for name, weight in weights.items()}


@pytest.mark.parametrize(("closed_set", "expected"), [(True, always(kd=0.9, labels=0.1)), (False, always(l2=40))])
@pytest.mark.parametrize("method", ["", "  "])
def test_without_a_method_it_is_the_default(method: str, closed_set: bool, expected: Terms) -> None:
    assert terms(method, closed_set) == expected
    assert parse_objective(method, {}, closed_set).joint_teacher is None


@pytest.mark.parametrize(("method", "closed_set", "expected"), [
    ("kd", True, always(kd=0.9, labels=0.1)),  # the benchmark of CRD
    ("rkd", True, always(rkd=1, labels=1)),
    ("at", True, always(at=1000, labels=1)),
    ("kd + at", True, always(kd=0.9, at=1000, labels=0.1)),  # of several the smallest
    ("at+kd", True, always(at=1000, kd=0.9, labels=0.1)),
    ("rkd + at", True, always(rkd=1, at=1000, labels=1)),
    ("l2", True, always(l2=1, labels=1)),
    ("l2", False, always(l2=40)),  # a face network follows it without labels
    ("cosine", False, always(cosine=80)),
    ("l2 + rkd", False, always(l2=40, rkd=1)),
    ("rkd", False, always(rkd=1, labels=1)),
    ("hint", False, always(hint=100, labels=1)),
    ("proxyless-ours", False, {"proxyless-ours": (1, 0, 1)}),
])
def test_a_method_has_the_default_weights(method: str, closed_set: bool, expected: Terms) -> None:
    assert terms(method, closed_set) == expected


@pytest.mark.parametrize("closed_set", [True, False])
@pytest.mark.parametrize(("method", "weight"), [("ab", 1), ("fsp", 50)])
def test_a_warmup_ends_where_labels_begin(method: str, weight: float, closed_set: bool) -> None:
    assert terms(method, closed_set) == {method: (weight, 0, 0.125), "labels": (1, 0.125, 1)}


def test_with_a_warmup_loss_another_loss_counts_from_the_beginning() -> None:
    assert terms("ab + kd", True) == {"ab": (1, 0, 0.125), "kd": (0.9, 0, 1), "labels": (0.1, 0.125, 1)}


@pytest.mark.parametrize(("method", "losses", "closed_set", "expected"), [
    ("", {"kd": 1}, True, always(kd=1)),  # without a method they are all there is
    ("", {"kd": {}}, True, always(kd=0.9)),
    ("", {"l2": 2, "labels": {}}, False, always(l2=2, labels=1)),
    ("kd", {"labels": 0}, True, always(kd=0.9)),
    ("kd", {"kd": 0.5}, True, always(kd=0.5, labels=0.1)),
    ("kd", {"rkd": {}}, True, always(kd=0.9, labels=0.1, rkd=1)),
    ("kd", {"kd": {"begin": 0.5}}, True, {"kd": (0.9, 0.5, 1), "labels": (0.1, 0, 1)}),
    ("l2", {"labels": 0.1}, False, always(l2=40, labels=0.1)),
    ("kd", {"labels": {"begin": 0.5}}, True, {"kd": (0.9, 0, 1), "labels": (0.1, 0.5, 1)}),
    ("ab", {"ab": 2}, True, {"ab": (2, 0, 0.125), "labels": (1, 0.125, 1)}),
    ("ab", {"ab": {"end": 1}}, True, {"ab": (1, 0, 1), "labels": (1, 0.125, 1)}),
    ("ab", {"ab": {"end": 0.5}}, True, {"ab": (1, 0, 0.5), "labels": (1, 0.125, 1)}),
    ("dml", {"rkd": 3}, True, always(kd=1, labels=1, rkd=3)),
])
def test_losses_are_set_on_top(method: str, losses: dict[str, Any], closed_set: bool, expected: Terms) -> None:
    assert terms(method, closed_set, **losses) == expected


@pytest.mark.parametrize("override", ["losses.ab=2", "losses.ab.end=1.0", "losses.labels.begin=0.5", "losses.kd=0.5"])
@pytest.mark.parametrize("method", ["ab + kd", "dml + ab"])
def test_a_recipe_that_was_written_and_read_back_means_the_same(tmp_path: Path, method: str, override: str) -> None:
    required = {"dataset": "f", "plan": "p", "out": "o"}
    first = load_recipe(DistillRecipe, None, [f"method={method}", override], required)
    (tmp_path / "recipe.yaml").write_text(dump_recipe(first))
    second = load_recipe(DistillRecipe, tmp_path / "recipe.yaml", [])
    assert parse_objective(second.method, second.losses, True) == parse_objective(first.method, first.losses, True)


def test_the_temperature_of_an_online_method_stays_if_a_weight_is_set() -> None:
    recipe = parse_objective("dml", {"kd": LossRecipe(weight=2)}, True).terms["kd"]
    assert (recipe.weight, recipe.options) == (2, {"temperature": 1})


def test_options_stay_with_the_default_weight() -> None:
    recipe = parse_objective("kd", {"kd": LossRecipe.model_validate({"temperature": 2})}, True).terms["kd"]
    assert (recipe.weight, recipe.options) == (0.9, {"temperature": 2})


@pytest.mark.parametrize(("method", "closed_set", "expected"), [
    ("prokt", True, always(kd=1)),  # the student sees no labels
    ("prokt", False, always(cosine=80)),
    ("dml", True, always(kd=1, labels=1)),
    ("dml", False, always(cosine=1, labels=1)),
    ("dml + rkd", True, always(kd=1, rkd=1, labels=1)),
    ("at + prokt", True, always(kd=1, at=1000)),
])
def test_an_online_method_brings_its_terms(method: str, closed_set: bool, expected: Terms) -> None:
    objective = parse_objective(method, {}, closed_set)
    assert objective.joint_teacher is not None and objective.joint_teacher in method
    assert {name: (recipe.weight, recipe.begin, recipe.end) for name, recipe in objective.terms.items()} == expected
    assert objective.terms["kd" if closed_set else "cosine"].options == ({"temperature": 1} if closed_set else {})


def test_prokts_student_may_have_the_default_terms_of_kd() -> None:
    objective = parse_objective("prokt + kd", {}, True)
    assert {name: recipe.weight for name, recipe in objective.terms.items()} == {"kd": 0.9, "labels": 0.1}
    assert objective.terms["kd"].options == {}


@pytest.mark.parametrize(("method", "message"), [
    ("kdd", "unknown method 'kdd': did you mean 'kd'"),
    ("kd + prokd", "unknown method 'prokd': did you mean 'prokt'"),
    ("zzz", "unknown method 'zzz': valid names: ab, .*dml.*prokt"),
    ("kd +", "unknown method ''"),
    ("labels", "unknown method 'labels'"),
])
def test_an_unknown_name_is_refused_with_the_nearest(method: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_objective(method, {}, True)


def test_an_unknown_loss_on_top_is_refused_with_the_nearest() -> None:
    with pytest.raises(ModelError, match="unknown loss 'rkdd': did you mean 'rkd'"):
        parse_objective("kd", {"rkdd": LossRecipe()}, True)


@pytest.mark.parametrize("method", ["prokt + dml", "dml+kd+prokt"])
def test_two_online_methods_are_refused(method: str) -> None:
    with pytest.raises(ModelError, match="names two ways to train a teacher jointly with the student; choose one"):
        parse_objective(method, {}, True)


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


@pytest.mark.parametrize(("method", "closed_set", "needs_live_teacher"), [
    ("kd", True, False), ("l2", False, False), ("at", True, True), ("at", False, True), ("kd + at", True, True),
    ("rkd", True, True), ("rkd", False, False),  # a face network's features are its embeddings
    ("dml", True, False), ("prokt", False, False), ("dml + rkd", True, True),
])
def test_feature_maps_and_a_classifiers_features_need_a_live_teacher(
    method: str, closed_set: bool, needs_live_teacher: bool
) -> None:
    assert parse_objective(method, {}, closed_set).needs_live_teacher(closed_set) is needs_live_teacher


def test_terms_are_described_with_weights_and_options() -> None:
    losses = {"labels": LossRecipe(weight=0.1), "hint": LossRecipe(weight=0),
              "kd": LossRecipe.model_validate({"weight": 0.9, "temperature": 4})}
    assert parse_objective("", losses, True).describe() == "kd 0.9 (temperature 4) + labels 0.1"


def test_default_terms_are_described_with_their_weights() -> None:
    assert parse_objective("", {}, True).describe() == "kd 0.9 + labels 0.1"
    assert parse_objective("", {}, False).describe() == "l2 40"


def test_the_time_of_a_term_and_an_online_method_are_described() -> None:
    assert parse_objective("ab", {}, True).describe() == "ab 1 (end 0.125) + labels 1 (begin 0.125)"
    assert parse_objective("dml", {}, True).describe().startswith("dml + ")


@pytest.mark.parametrize(("method", "names"), [
    ("l2", []), ("cosine + rkd", []), ("rkd", ["labels"]), ("adadistill", ["adadistill"]), ("dml", ["dml", "labels"]),
    ("prokt", ["prokt"]), ("ekd", ["labels", "ekd"]),
])
def test_the_terms_on_labels_are_known(method: str, names: list[str]) -> None:
    assert sorted(parse_objective(method, {}, closed_set=False).terms_on_labels) == sorted(names)


def test_labels_that_are_not_there_are_not_learned_from(small_faces: Path) -> None:
    without, faces = open_faces(small_faces, labels=False), open_faces(small_faces)
    check_objective_labels(parse_objective("l2", {}, closed_set=False), without)
    check_objective_labels(parse_objective("ekd", {}, closed_set=False), faces)
    for method, problem in (("rkd", r"the objective \(labels\) needs them.* or set losses\.labels=0$"),
                            ("adadistill", r"\(adadistill\) needs them.* or use a method without labels")):
        with pytest.raises(DataError, match=problem):
            check_objective_labels(parse_objective(method, {}, closed_set=False), without)
