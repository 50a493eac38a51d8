"""Plots as SVG, and grids of image pairs as JPEG."""
