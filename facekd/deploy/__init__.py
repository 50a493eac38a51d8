"""From a trained student to files a phone can run, each compared with the network it came from."""
