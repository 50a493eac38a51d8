"""The protocols IJB-B and IJB-C, in the file formats of NIST and of InsightFace."""
