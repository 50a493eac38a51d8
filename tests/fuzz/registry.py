"""All parsers of files from outside, and the modules of facekd that read files without being one."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fuzz.parser import Parser
from tests.fuzz.parsers import containers, documents, features, lists, networks, outputs, pictures, results

_AREAS = (pictures, containers, lists, features, documents, outputs, networks, results)
PARSERS: Mapping[str, Parser] = {parser.name: parser for area in _AREAS for parser in area.PARSERS}
"""The parsers by name. With at most 55, a run of 1,100,000 inputs gives 20,000 and more to each."""

WITHOUT: Mapping[str, str] = {
    "api/compress/measurement.py": "reads results of 'eval agree' and 'eval verify' that it has just made",
    "data/loading/camera.py": "decodes a JPEG that it has just encoded in memory",
    "data/synthetic/parity.py": "compares a file with what it would write; the content is not parsed",
    "api/compress/conclusion.py": "reads a JPEG that it has just written",
    "deploy/benchmark/memory.py": "reads /proc/self/status",
    "deploy/onnx/quantization_error.py": "reads two graphs that export has just written into its own folder",
    "deploy/students/latency.py": "reads graphs that it has just written into a temporary folder",
    "deploy/targets/coreml.py": "hashes its files; coremltools reads them, on a Mac, after the package's checksums",
    "deploy/targets/onnx.py": "reads graphs that export has just written into its own folder",
    "evaluation/megaface/protocol.py": "its open() is one of its own methods",
    "models/architectures/zoo.py": "get_model builds a network of torchvision, whose weights the library downloads",
    "utils/environment.py": "reads /proc/cpuinfo",
}
"""Modules that read only files which facekd or the machine makes, and why no parser of the room covers them."""
