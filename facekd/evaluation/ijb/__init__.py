"""The IJB-B and IJB-C template protocols."""
