"""IJB-B and IJB-C templates; ``python eval/ijb.py --help`` is ``facekd eval ijb --help``."""

import sys

from facekd.cli.main import main

main(["eval", "ijb", *sys.argv[1:]])
