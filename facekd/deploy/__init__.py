"""Export of a trained student to the file formats of mobile runtimes, with every file validated against its network."""
