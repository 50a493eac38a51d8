"""Identification among distractors; ``python eval/megaface.py --help`` is ``facekd eval megaface --help``."""

import sys

from facekd.cli.main import main

main(["eval", "megaface", *sys.argv[1:]])
