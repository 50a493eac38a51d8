"""Result rows of runs, the CSV files that hold them, and the tables made of them."""
