"""The functions behind ``facekd eval``, one a subcommand."""
