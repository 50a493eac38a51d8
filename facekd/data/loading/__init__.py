"""Batches for training: order, augmentation, decoding, unreadable images."""
