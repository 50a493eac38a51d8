"""``facekd report``: a page for each run, and all of them in one table."""
