"""What a run looked like and gave, for people: one self-contained page a run, and tables of several."""
