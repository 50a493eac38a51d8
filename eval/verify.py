"""Verification on a pair list: ``python eval/verify.py --model M --pairs FILE``, the same as ``facekd eval verify``."""

import argparse
import sys

from facekd.cli import add_verify, run

parser = argparse.ArgumentParser(description=__doc__)
add_verify(parser)
sys.exit(run(parser.parse_args()))
