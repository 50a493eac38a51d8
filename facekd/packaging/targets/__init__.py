"""Runtimes a student is exported to, one file a runtime."""

from facekd.packaging.targets.target import Made as Made
from facekd.packaging.targets.target import Target as Target
from facekd.packaging.targets.target import names as names
from facekd.packaging.targets.target import target_of as target_of
