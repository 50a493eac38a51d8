"""Classification on ImageNet folders: ``python eval/imagenet.py ...`` is ``facekd eval imagenet ...``."""

import sys

from facekd.cli.main import main

main(["eval", "imagenet", *sys.argv[1:]])
