from __future__ import annotations

import copy
from typing import Any

import pytest

from facekd.deploy.model_card import render_model_card

VERIFICATION = {
    "pairs_file": "pairs.bin", "network": {"accuracy": 0.9912},
    "file": {"accuracy": 0.9901, "thresholds": {"0.01": 0.4}},
    "drop": {"accuracy": {"points": 0.11, "interval": [-0.05, 0.3]}}, "resampled": "identities",
    "thresholds": {"0.001": 0.321, "1e-06": None}, "impostor_pairs": 12345, "against": None,
}
ENTRY = {
    "target": "onnx", "precision": "fp32", "files": ["m.onnx"], "bytes": 4_100_000, "versions": {"onnx": "1.19"},
    "notes": ["One note."], "device_command": "bench m.onnx",
    "latency": {"median_ms": 1.5, "quartiles_ms": [1.25, 2.0], "p95_ms": 3.0, "repeats": 100},
    "validation": {
        "status": "passed", "gates": ["accuracy=0.3"], "note": None, "verification": VERIFICATION,
        "cosine": {"noise": {"1": {"mean": 0.9, "minimum": 0.8, "images": 14}},
                   "crops": {"1": {"mean": 0.99995, "minimum": 0.9999, "images": 24}}},
    },
}
METADATA = {
    "name": "m", "model": {"name": "mobilefacenet"}, "parameters": 1_003_136, "macs": 221_000_000, "size": 112,
    "dimension": 128, "io_format": {"input_dtype": "float", "l2_normalized": False},
    "preprocessing": "RGB, (x - 127.5) / 127.5, [batch, 3, size, size]", "files": {"onnx fp32": ENTRY},
    "results": {"lfw": {"accuracy": 0.99, "accuracy_interval": [0.98, 0.995], "tar": {"0.001": 0.9, "1e-06": None},
                        "tar_interval": {"0.001": [0.85, 0.95]}, "thresholds": {"0.001": 0.25, "1e-06": None}}},
    "provenance": {"run": "abc", "license_data": "CC0", "anchors": [1, 2]},
}


@pytest.fixture
def metadata() -> dict[str, Any]:
    return copy.deepcopy(METADATA)


def section(card: str, heading: str) -> str:
    """Return the text below a heading."""
    return card.split(f"## {heading}\n\n")[1].split("\n\n## ")[0].strip()


def test_the_head_describes_architecture_input_and_output(metadata: dict[str, Any]) -> None:
    card = render_model_card(metadata)
    assert card.startswith("# m\n")
    assert "- architecture: mobilefacenet, 1.003 M parameters, 221 M multiply-adds" in card
    assert "an aligned 112x112 face in, 128 numbers out" in card
    assert "- output: not normalized" in card
    metadata["io_format"]["l2_normalized"] = True
    assert "- output: of unit length" in render_model_card(metadata)


def test_a_row_of_the_table_has_size_cosine_loss_status_and_latency(metadata: dict[str, Any]) -> None:
    rows = [line for line in render_model_card(metadata).splitlines() if line.startswith("| m.onnx")]
    assert rows == ["| m.onnx (onnx fp32) | 4,100,000 | 1.0000, 0.9999 (24 images) | +0.11 [-0.05, +0.30] | passed "
                    "| 1.50 (1.25 to 2.00) |"]


def test_verification_and_thresholds_are_listed(metadata: dict[str, Any]) -> None:
    card = render_model_card(metadata)
    assert section(card, "Verification") == (
        "- onnx fp32: accuracy 99.01 %, the float network's 99.12 %, on pairs.bin"
    )
    assert section(card, "Thresholds of the cosine") == (
        "- onnx fp32: 0.321 at FAR 0.001 (of 12,345 impostor pairs, too few for 1e-06)"
    )


def test_without_identities_the_thresholds_are_those_of_the_pair_list(metadata: dict[str, Any]) -> None:
    metadata["files"]["onnx fp32"]["validation"]["verification"]["thresholds"] = {}
    assert section(render_model_card(metadata), "Thresholds of the cosine") == (
        "- onnx fp32: 0.400 at FAR 0.01 (of the pair list's impostor pairs)"
    )


def test_results_and_provenance_are_listed(metadata: dict[str, Any]) -> None:
    card = render_model_card(metadata)
    assert section(card, "Results of the network") == (
        "- lfw: accuracy 99.00 % [98.00, 99.50]; TAR at FAR 0.001 90.00 % [85.00, 95.00]; thresholds 0.250 at FAR 0.001"
    )
    assert section(card, "Provenance") == "- run: abc\n- license_data: CC0\n- anchors: \\[1, 2\\]"
    assert section(card, "Exported with") == "- onnx fp32: onnx 1.19"


def test_a_note_is_printed_once(metadata: dict[str, Any]) -> None:
    metadata["files"]["onnx fp16"] = copy.deepcopy(ENTRY) | {"precision": "fp16"}
    assert render_model_card(metadata).count("Note: One note.") == 1


def test_missing_figures_are_left_out(metadata: dict[str, Any]) -> None:
    entry = metadata["files"]["onnx fp32"]
    entry["validation"] = {"status": "not run", "cosine": "not run", "verification": "not run"}
    entry |= {"latency": "not run", "device_command": "", "notes": []}
    metadata |= {"results": {}, "files": {"coreml fp32": entry}}
    card = render_model_card(metadata)
    assert "| m.onnx (coreml fp32) | 4,100,000 | not run | not measured | not run | not run |" in card
    for heading in ("Verification", "Thresholds of the cosine", "Results of the network", "Time it on a device",
                    "Run it"):
        assert f"## {heading}" not in card


@pytest.mark.parametrize(("input_dtype", "l2_normalized"), [("float", True), ("float", False), ("uint8", True)])
def test_the_program_scales_and_normalizes_what_the_file_does_not(
    metadata: dict[str, Any], input_dtype: str, l2_normalized: bool
) -> None:
    metadata["io_format"] = {"input_dtype": input_dtype, "l2_normalized": l2_normalized}
    program = render_model_card(metadata).split("```python")[1].split("```")[0]
    assert ("/ 127.5" in program) == (input_dtype == "float")
    assert ("linalg.norm" in program) == (not l2_normalized)


def test_text_of_others_is_no_markup(metadata: dict[str, Any]) -> None:
    evil = "<script>x</script>\n# heading [a](http:b) | cell `code`"
    metadata["provenance"]["license_weights"] = evil
    metadata["name"] = evil
    entry = metadata["files"]["onnx fp32"]
    entry["notes"], entry["validation"]["verification"]["pairs_file"], entry["files"] = [evil], evil, [evil]
    metadata["results"][evil] = metadata["results"]["lfw"]
    card = render_model_card(metadata)
    text = card.split("```python")[0]
    assert "<script>" not in text and "[a](" not in text and "`code`" not in text
    assert [line for line in card.splitlines() if line.startswith("# h")] == []
    program = card.split("```python")[1].split("```")[0]
    compile(program, "card", "exec")
