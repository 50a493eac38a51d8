"""Verification on a pair list: ``python eval/verify.py ...`` is ``facekd eval verify ...``."""

import sys

from facekd.cli.main import main

main(["eval", "verify", *sys.argv[1:]])
