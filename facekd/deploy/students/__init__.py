"""The students that facekd can train, with the cost of each: parameters, bytes of its file, multiply-adds, latency."""
