"""``python -m facekd`` runs the command line."""

from facekd.cli.main import main

main()
