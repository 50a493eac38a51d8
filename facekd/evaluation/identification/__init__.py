"""Exact 1:N identification among any number of distractors."""
