"""Diagnosis of image sets: unreadable images, duplicates, gaps in the labels, and leakage from train to test."""
