"""The clients in docs/clients.md: parsed by grammars of their languages, and their alignment run here as Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.alignment.landmarks import (
    REFERENCE_LANDMARKS_112,
    reference_landmarks,
    similarity_transform,
    warp_face,
)
from tests.deploy.phone_clients import blocks

LANGUAGES = ("kotlin", "swift")
REPLACEMENTS = [
    (r"//.*|/\*\*.*", ""), (r"^\s*(import|precondition|require)\b.*$", ""), (r"^\s*\}\s*$", ""),
    (r"^(\s*)(let|val|var) ", r"\1"),
    (r"&&", "and"), (r"(= )\((.*)\) \? (\S+) : (\S+)$", r"\1\3 if \2 else \4"),
    (r"(= )if \((.*)\) (\S+) else (\S+)$", r"\1\3 if \2 else \4"), (r"if (.*) \{$", r"if \1:"),
    (r"for \((\w+) in (\S+) until (.+)\) \{$", r"for \1 in range(\2, \3):"),
    (r"for (\w+) in (\S+)\.\.<\(?(.+?)\)? \{$", r"for \1 in range(\2, \3):"),
    (r"= Array\(repeating: 0\.0, count: (.+)\)$", r"= [0.0] * (\1)"),
    (r"(?:Double|Float)Array\(([^()]+)\)$", r"[0.0] * (\1)"), (r"doubleArrayOf\((.*)\)$", r"[\1]"),
    (r": \[(?:Double|Float)\] =", " ="), (r"\bshr\b", ">>"), (r"\band 255\b", "& 255"), (r"\.to(Int|Float)\(\)", ""),
    (r"\b(?:Double|Float|Int)\(", "("), (r"^fun[c]? (\w+)\(.*$", lambda m: f"def {m[1]}({ARGUMENTS[m[1]]}):"),
]
"""How a line of Kotlin or Swift becomes one of Python. Only what the alignment consists of is known."""
ARGUMENTS = {"referenceLandmarks": "size", "similarityTransform": "points, targets",
             "cropFace": "pixels, width, height, matrix, size"}
Client = dict[str, Callable[..., Any]]


def to_python(program: str) -> str:
    lines = []
    for line in program.splitlines():
        for pattern, replacement in REPLACEMENTS:
            line = re.sub(pattern, replacement, line)
        lines.append(line.rstrip())
    return "\n".join(lines).replace("doubleArrayOf(\n", "[\n").replace("\n)\n", "\n]\n")


def alignment(language: str) -> Client:
    """The functions of the alignment, whose lines run as Python."""
    scope: dict[str, Any] = {"floor": lambda x: int(np.floor(x))}
    exec(compile(to_python(blocks(language)[0]), language, "exec"), scope)
    return scope


@pytest.fixture(scope="module", params=LANGUAGES)
def client(request: pytest.FixtureRequest) -> Client:
    return alignment(request.param)


@pytest.fixture(params=range(3))
def landmarks(request: pytest.FixtureRequest) -> NDArray[np.float64]:
    """Landmarks of an upright, a turned and a strongly distorted face in a photograph of 90 x 70 pixels."""
    angle, noise = [(0.1, 0.5), (1.9, 1.0), (-0.5, 9.0)][request.param]
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (REFERENCE_LANDMARKS_112 - 56) @ rotation.T * 0.5 + [45, 35]
    return points + np.random.default_rng(request.param).normal(0, noise, (5, 2))


@pytest.mark.parametrize("size", [64, 112, 128, 224, 256, 384])
def test_the_reference_landmarks_are_those_of_facekd(client: Client, size: int) -> None:
    assert client["referenceLandmarks"](size) == pytest.approx(reference_landmarks(size).ravel(), abs=1e-9)


def test_the_transform_is_that_of_facekd(client: Client, landmarks: NDArray[np.float64]) -> None:
    matrix = client["similarityTransform"](landmarks.ravel().tolist(), client["referenceLandmarks"](112))
    assert matrix == pytest.approx(similarity_transform(landmarks, reference_landmarks(112)).ravel(), abs=1e-9)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_crop_is_that_of_facekd(language: str, landmarks: NDArray[np.float64]) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    photo = coarse.repeat(8, axis=0).repeat(8, axis=1)[:70, :90]
    red, green, blue = (photo[..., channel].astype(int) for channel in range(3))
    argb = (0xFF << 24 | red << 16 | green << 8 | blue).ravel().tolist()
    rgba = np.dstack([photo, np.full((70, 90), 255, np.uint8)]).ravel().tolist()
    matrix = similarity_transform(landmarks, reference_landmarks(48)).ravel().tolist()
    values = alignment(language)["cropFace"](argb if language == "kotlin" else rgba, 90, 70, matrix, 48)
    crop = np.moveaxis(np.array(values).reshape(3, 48, 48), 0, 2)
    difference = np.abs(crop - warp_face(photo, landmarks, 48))
    assert difference.max() <= 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_grammar_of_the_language_parses_every_program(language: str) -> None:
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip(f"tree_sitter_{language}")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    assert len(blocks(language)) == 3
    for program in blocks(language):
        assert not parser.parse(program.encode()).root_node.has_error, program.splitlines()[0]


@pytest.mark.parametrize(("language", "names"), [
    ("kotlin", ['"input" to input', 'getString("input_dtype")', '"onnx $precision"', 'getInt("size")']),
    ("swift", ['"input": MLFeatureValue', '"embedding"', 'format["input_dtype"]', '"coreml \\(precision)"']),
])
def test_it_reads_the_package_by_the_names_that_export_writes(language: str, names: list[str]) -> None:
    assert [name for name in names if name not in blocks(language)[1]] == []


def test_telemetry_is_off_before_the_library_is_loaded() -> None:
    program = blocks("kotlin")[1]
    calls = ('Os.setenv("ORT_DISABLE_TELEMETRY", "1", true)', "OrtEnvironment.getEnvironment()", "setTelemetry(false)",
             "createSession(")
    positions = [program.index(call) for call in calls]
    assert positions == sorted(positions)
    assert program.count("getEnvironment()") == 1
