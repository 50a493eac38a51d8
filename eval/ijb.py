"""IJB-B and IJB-C templates: ``python eval/ijb.py ...`` is ``facekd eval ijb ...``."""

import sys

from facekd.cli.main import main

main(["eval", "ijb", *sys.argv[1:]])
