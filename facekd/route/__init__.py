"""Routes of recorded teacher checkpoints, plans that choose anchors on them, and the cache of the anchors' outputs."""
