"""The command line: one module per group of commands, with the parser and the function of each command."""
