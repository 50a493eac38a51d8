"""Every evaluation set of a folder: ``python eval/all.py ...`` is ``facekd eval all ...``."""

import sys

from facekd.cli.main import main

main(["eval", "all", *sys.argv[1:]])
