"""Reports for people: one self-contained page per run, and tables of several runs."""
