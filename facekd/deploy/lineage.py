"""What a package's model was made from, and what its license leaves to ask: the first lines of the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facekd.io.licenses import UNKNOWN, is_restricted
from facekd.text import markdown

VERBS = {"distilled_from": "Distilled from", "converted_from": "Converted from"}
"""The keys of the provenance that name another model, each a record of name, sha256 and license; and their words."""


def describe_lineage(provenance: Mapping[str, Any]) -> list[str]:
    """Return the lines of Markdown about other models in a provenance; none if there are none."""
    lines = []
    for key, verb in VERBS.items():
        source = provenance.get(key)
        if source:
            lines += [f"{verb} {markdown(source['name'])} (SHA-256 {markdown(source['sha256'])}), license: "
                      f"{markdown(source['license'])}.", *_question(key, source["license"])]
    return [line for text in lines for line in (text, "")]


def _question(key: str, license_text: str) -> list[str]:
    """Return what to ask before shipping; nothing if the license is known and names no restriction."""
    if not is_restricted(license_text):
        return []
    fact = "is unknown" if license_text == UNKNOWN else "names a restricted use"
    what = "a student of it" if key == "distilled_from" else "it"
    return [f"**Ask before shipping:** that license {fact}; whether {what} may be shipped is a question to its owner."]
