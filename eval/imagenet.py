"""Classification of ImageNet folders; ``python eval/imagenet.py --help`` is ``facekd eval imagenet --help``."""

import sys

from facekd.cli.main import main

main(["eval", "imagenet", *sys.argv[1:]])
