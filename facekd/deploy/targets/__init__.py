"""Runtimes that a student is exported to, one module a runtime."""

from facekd.deploy.targets import coreml as coreml
from facekd.deploy.targets import executorch as executorch
from facekd.deploy.targets import litert as litert
from facekd.deploy.targets import ncnn as ncnn
from facekd.deploy.targets import onnx as onnx
from facekd.deploy.targets.base import ConvertedFiles as ConvertedFiles
from facekd.deploy.targets.base import Target as Target
from facekd.deploy.targets.base import get_target as get_target
from facekd.deploy.targets.base import list_targets as list_targets
