"""Identification among distractors: ``python eval/megaface.py --model M ...``, the same as ``facekd eval megaface``."""

import argparse
import sys

from facekd.cli import add_megaface, run

parser = argparse.ArgumentParser(description=__doc__)
add_megaface(parser)
sys.exit(run(parser.parse_args()))
