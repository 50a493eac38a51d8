"""The file formats of the MegaFace development kit, and InsightFace's noise lists for it."""
