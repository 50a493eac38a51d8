"""``python -m facekd``."""

from facekd.cli.main import main

main()
