"""Open-set identification of probes in a gallery: ``python eval/identify.py ...`` is ``facekd eval identify ...``."""

import sys

from facekd.cli.main import main

main(["eval", "identify", *sys.argv[1:]])
