"""``python -m facekd``."""

from facekd.cli import main

main()
