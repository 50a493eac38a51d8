"""``facekd compress``: from a teacher and photographs to a package for the phone."""
