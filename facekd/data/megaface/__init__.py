"""The file formats of the MegaFace development kit."""
