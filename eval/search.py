"""Your own probes in your own gallery; ``python eval/search.py --help`` is ``facekd eval search --help``."""

import sys

from facekd.cli.main import main

main(["eval", "search", *sys.argv[1:]])
