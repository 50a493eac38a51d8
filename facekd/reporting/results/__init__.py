"""One row per run, the CSV files that collect the rows, and the results page made from them."""
