"""The MegaFace protocol: its inputs, noise lists, and the result files of its kit."""
