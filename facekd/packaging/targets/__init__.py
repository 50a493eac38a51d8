"""Runtimes a student is exported to, one file a runtime."""

from facekd.packaging.targets import coreml as coreml
from facekd.packaging.targets import executorch as executorch
from facekd.packaging.targets import litert as litert
from facekd.packaging.targets import ncnn as ncnn
from facekd.packaging.targets import onnx as onnx
from facekd.packaging.targets.target import Made as Made
from facekd.packaging.targets.target import Target as Target
from facekd.packaging.targets.target import names as names
from facekd.packaging.targets.target import target_of as target_of
