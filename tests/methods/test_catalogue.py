from __future__ import annotations

import re

import pytest

from facekd.config import DistillRecipe, PartnerRecipe
from facekd.config.loading import load_recipe
from facekd.errors import ModelError
from facekd.losses import kind_of, names
from facekd.methods.catalogue import LEFT_OUT, Entry, catalogue, entry
from facekd.methods.objective import PARTNERS, mixture

ENTRIES = catalogue()
LOSSES = [each for each in ENTRIES if each.name in names()]
ROUTES = [each for each in ENTRIES if each.family == "route"]


def name_of(each: Entry) -> str:
    return each.name


def recipe(line: str) -> DistillRecipe:
    """What the line of a recipe means on the command line."""
    return load_recipe(DistillRecipe, None, [line], {"faces": "f", "plan": "p", "out": "o"})


def test_every_loss_partner_and_route_is_listed_once() -> None:
    listed = [each.name for each in ENTRIES]
    assert len(set(listed)) == len(listed)
    assert set(listed) == {*names(), *PARTNERS, *(each.name for each in ROUTES)}
    assert {"rco", "rco-greedy", "plateau", "takd"} <= {each.name for each in ROUTES}


def test_families_stand_together_and_names_in_order() -> None:
    families = [each.family for each in ENTRIES]
    assert list(dict.fromkeys(families)) == ["responses", "maps", "relations", "faces", "partner", "route"]
    assert [each.name for each in ENTRIES] == [
        name for _, name in sorted((families.index(each.family), each.name) for each in ENTRIES)]


@pytest.mark.parametrize("each", ENTRIES, ids=name_of)
def test_a_method_says_where_it_is_from_what_it_computes_and_how_to_ask_for_it(each: Entry) -> None:
    assert all(text.strip() for text in (each.paper, each.needs, each.teacher, each.equation, each.line))
    assert re.search(r"\b(19|20)\d\d\b|no single source|control", each.paper)


@pytest.mark.parametrize("each", LOSSES, ids=name_of)
def test_a_loss_says_where_its_weight_is_from(each: Entry) -> None:
    kind = kind_of(each.name)
    assert kind.origin.strip() and kind.equation.strip() and kind.paper.strip()
    faces = {"l2": " (40 for faces)", "cosine": " (80 for faces)"}.get(each.name, "")
    assert each.weight.startswith(f"{kind.weight:g}{faces}, {kind.origin}; labels beside it: ")
    assert each.text


@pytest.mark.parametrize("each", [e for e in ENTRIES if e.family != "route"], ids=name_of)
def test_the_line_is_one_that_a_recipe_takes(each: Entry) -> None:
    method = recipe(each.line).method
    assert method == each.name
    closed = each.needs.startswith("logits") or each.name in PARTNERS
    mixed = mixture(method, {}, closed)
    assert each.name in mixed.terms or mixed.partner == each.name


USES = [(each, True) for each in LOSSES if not kind_of(each.name).faces]
USES += [(each, False) for each in LOSSES if not kind_of(each.name).logits]


@pytest.mark.parametrize(("each", "closed"), USES, ids=[f"{e.name}, {'classes' if c else 'faces'}" for e, c in USES])
def test_the_weight_beside_labels_is_the_one_that_is_used(each: Entry, closed: bool) -> None:
    labels = mixture(each.name, {}, closed).terms.get("labels")
    used = f"{(labels.weight if labels else 0):g}"
    told = each.weight.rpartition("labels beside it: ")[2]
    audience = "classes" if closed else "faces"
    assert re.search(rf"^{re.escape(used)}$|(^|, ){re.escape(used)} for {audience}", told)


@pytest.mark.parametrize("each", LOSSES, ids=name_of)
def test_options_are_those_a_recipe_may_set(each: Entry) -> None:
    defaults = kind_of(each.name).__init__.__kwdefaults__ or {}
    assert each.options == ", ".join(f"{key}={value}" for key, value in defaults.items())


@pytest.mark.parametrize("name", PARTNERS)
def test_a_partners_options_have_the_recipes_defaults(name: str) -> None:
    defaults = PartnerRecipe().settled(name).model_dump()
    told = dict(part.removeprefix("partner.").split("=", 1) for part in entry(name).options.split(", "))
    assert set(told) == (set(defaults) if name == "prokt" else {"fresh", "pace"})
    for key, value in told.items():
        shown = str(defaults[key]).lower() if isinstance(defaults[key], bool) else str(defaults[key])
        assert value.split("|")[0] == shown
    assert recipe("partner.mode=dual").partner.mode == told.get("mode", "|dual").split("|")[1]


def test_what_it_looks_at_says_how_a_teacher_runs() -> None:
    known = {each.name: (each.needs, each.teacher) for each in ENTRIES}
    assert known["kd"] == ("logits", "cached or live")
    assert known["l2"] == ("logits or embeddings", "cached or live")
    assert known["hint"] == ("maps", "live")
    assert known["rkd"] == ("features", "live for classes")
    assert known["proxyless-ours"] == ("embeddings", "cached or live")
    assert known["prokt"][1] == known["dml"][1] == "trained"


def test_a_name_is_found() -> None:
    assert [entry(each.name) for each in ENTRIES] == ENTRIES


@pytest.mark.parametrize(("name", "near"), [
    ("kdd", "kd"), ("rcoo", "rco"), ("prokd", "prokt"), ("chekpoint-kd", "checkpoint-kd")])
def test_an_unknown_name_is_told_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ModelError, match=f"unknown method '{name}': did you mean '{near}'"):
        entry(name)


def test_what_was_left_out_says_why() -> None:
    with pytest.raises(ModelError, match="method 'refo' was left out: no equation of ReFO"):
        entry("refo")
    assert not set(LEFT_OUT) & {each.name for each in ENTRIES}
    assert all(LEFT_OUT.values())
