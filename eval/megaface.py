"""Identification among distractors: ``python eval/megaface.py ...`` is ``facekd eval megaface ...``."""

import sys

from facekd.cli.main import main

main(["eval", "megaface", *sys.argv[1:]])
