"""The command line: one module a group of commands, with its parser and its functions."""
