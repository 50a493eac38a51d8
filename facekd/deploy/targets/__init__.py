"""Runtimes a student is exported to, one file a runtime."""

from facekd.deploy.targets import coreml as coreml
from facekd.deploy.targets import executorch as executorch
from facekd.deploy.targets import litert as litert
from facekd.deploy.targets import ncnn as ncnn
from facekd.deploy.targets import onnx as onnx
from facekd.deploy.targets.base import Made as Made
from facekd.deploy.targets.base import Target as Target
from facekd.deploy.targets.base import names as names
from facekd.deploy.targets.base import target_of as target_of
