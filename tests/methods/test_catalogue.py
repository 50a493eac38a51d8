from __future__ import annotations

import re

import pytest

from facekd.config import DistillRecipe, JointTeacherRecipe
from facekd.config.loading import load_recipe
from facekd.errors import ModelError
from facekd.losses import get_loss_class, list_losses
from facekd.methods.catalogue import EXCLUDED_METHODS, MethodEntry, get_entry, list_entries
from facekd.methods.objective import parse_objective
from facekd.methods.online_registry import ONLINE_METHODS

ENTRIES = list_entries()
LOSSES = [entry for entry in ENTRIES if entry.name in list_losses()]
ROUTES = [entry for entry in ENTRIES if entry.family == "route"]


def name_of(entry: MethodEntry) -> str:
    return entry.name


def recipe(override: str) -> DistillRecipe:
    """The recipe with this override."""
    return load_recipe(DistillRecipe, None, [override], {"dataset": "f", "plan": "p", "out": "o"})


def test_every_loss_online_method_and_route_is_listed_once() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)
    assert set(names) == {*list_losses(), *ONLINE_METHODS, *(entry.name for entry in ROUTES)}
    plans = {entry.name for entry in ROUTES}
    assert {"rco", "rco-progress", "rco-change", "rco-greedy", "rco-aligned", "progressive", "plateau", "takd"} <= plans


def test_entries_are_ordered_by_family_and_name() -> None:
    families = [entry.family for entry in ENTRIES]
    assert list(dict.fromkeys(families)) == ["responses", "maps", "relations", "faces", "online", "route"]
    assert [entry.name for entry in ENTRIES] == [
        name for _, name in sorted((families.index(entry.family), entry.name) for entry in ENTRIES)]


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_a_method_has_a_source_an_equation_and_a_usage(entry: MethodEntry) -> None:
    assert all(text.strip() for text in (entry.paper, entry.needs, entry.teacher, entry.equation, entry.usage))
    assert re.search(r"\b(19|20)\d\d\b|no single source|control", entry.paper)


@pytest.mark.parametrize("entry", LOSSES, ids=name_of)
def test_a_loss_has_a_source_of_its_weight(entry: MethodEntry) -> None:
    loss_class = get_loss_class(entry.name)
    assert loss_class.weight_source.strip() and loss_class.equation.strip() and loss_class.paper.strip()
    faces = {"l2": " (40 for faces)", "cosine": " (80 for faces)"}.get(entry.name, "")
    assert entry.weight.startswith(f"{loss_class.weight:g}{faces}, {loss_class.weight_source}; weight of labels: ")
    assert entry.description


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.family != "route"], ids=name_of)
def test_the_usage_is_a_valid_override(entry: MethodEntry) -> None:
    method = recipe(entry.usage).method
    assert method == entry.name
    closed_set = entry.needs.startswith("logits") or entry.name in ONLINE_METHODS
    objective = parse_objective(method, {}, closed_set)
    assert entry.name in objective.terms or objective.joint_teacher == entry.name


USES = [(entry, True) for entry in LOSSES if not get_loss_class(entry.name).needs_embeddings]
USES += [(entry, False) for entry in LOSSES if not get_loss_class(entry.name).needs_logits]


@pytest.mark.parametrize(("entry", "closed_set"), USES,
                         ids=[f"{entry.name}, {'classes' if closed_set else 'faces'}" for entry, closed_set in USES])
def test_the_weight_of_labels_is_the_one_that_is_used(entry: MethodEntry, closed_set: bool) -> None:
    labels = parse_objective(entry.name, {}, closed_set).terms.get("labels")
    used = f"{(labels.weight if labels else 0):g}"
    text = entry.weight.rpartition("weight of labels: ")[2]
    audience = "classes" if closed_set else "faces"
    assert re.search(rf"^{re.escape(used)}$|(^|, ){re.escape(used)} for {audience}", text)


@pytest.mark.parametrize("entry", LOSSES, ids=name_of)
def test_options_are_those_a_recipe_may_set(entry: MethodEntry) -> None:
    defaults = get_loss_class(entry.name).__init__.__kwdefaults__ or {}
    assert entry.options == ", ".join(f"{key}={value}" for key, value in defaults.items())


@pytest.mark.parametrize("name", ONLINE_METHODS)
def test_the_options_of_an_online_method_have_the_recipes_defaults(name: str) -> None:
    defaults = JointTeacherRecipe().with_defaults(ONLINE_METHODS[name].fresh_teacher).model_dump()
    options = dict(option.removeprefix("joint_teacher.").split("=", 1)
                   for option in get_entry(name).options.split(", "))
    assert set(options) == (set(defaults) if name == "prokt" else {"fresh", "lr_scale"})
    for key, value in options.items():
        shown = str(defaults[key]).lower() if isinstance(defaults[key], bool) else str(defaults[key])
        assert value.split("|")[0] == shown
    assert recipe("joint_teacher.mode=dual").joint_teacher.mode == options.get("mode", "|dual").split("|")[1]


def test_the_needs_determine_how_a_teacher_runs() -> None:
    entries = {entry.name: (entry.needs, entry.teacher) for entry in ENTRIES}
    assert entries["kd"] == ("logits", "cached or live")
    assert entries["l2"] == ("logits or embeddings", "cached or live")
    assert entries["hint"] == ("maps", "live")
    assert entries["rkd"] == ("features", "live for classes")
    assert entries["proxyless-ours"] == ("embeddings", "cached or live")
    assert entries["prokt"][1] == entries["dml"][1] == "trained"


def test_a_name_is_found() -> None:
    assert [get_entry(entry.name) for entry in ENTRIES] == ENTRIES


@pytest.mark.parametrize(("name", "near"), [
    ("kdd", "kd"), ("rcoo", "rco"), ("prokd", "prokt"), ("chekpoint-kd", "checkpoint-kd")])
def test_an_unknown_name_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ModelError, match=f"unknown method '{name}': did you mean '{near}'"):
        get_entry(name)


def test_an_excluded_method_is_refused_with_the_reason() -> None:
    with pytest.raises(ModelError, match="method 'refo' was left out: no equation of ReFO"):
        get_entry("refo")
    assert not set(EXCLUDED_METHODS) & {entry.name for entry in ENTRIES}
    assert all(EXCLUDED_METHODS.values())
