"""The verbs: what the command line and ``import facekd`` offer, one function each."""
