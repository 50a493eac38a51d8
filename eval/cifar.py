"""Classification of small images: ``python eval/cifar.py ...`` is ``facekd eval cifar ...``."""

import sys

from facekd.cli.main import main

main(["eval", "cifar", *sys.argv[1:]])
