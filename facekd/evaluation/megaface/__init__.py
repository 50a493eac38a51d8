"""The MegaFace protocol: noise lists and the result files of its kit."""
