"""The functions behind ``facekd eval``, one module per subcommand."""
