"""Every evaluation set of a folder; ``python eval/all.py --help`` is ``facekd eval all --help``."""

import sys

from facekd.cli.main import main

main(["eval", "all", *sys.argv[1:]])
