"""Training batches: order, augmentation, decoding and unreadable images."""
