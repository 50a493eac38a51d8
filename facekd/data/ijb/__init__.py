"""The IJB protocol files, in NIST's and InsightFace's layouts."""
