"""Error rates of a model by groups of people at one threshold."""
