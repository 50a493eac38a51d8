"""Make a network smaller by removing channels that change its outputs least, with its own weights."""
