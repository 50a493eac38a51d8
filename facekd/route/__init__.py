"""The route a teacher travelled, the plan a student follows along it, and the cache of what its anchors say."""
