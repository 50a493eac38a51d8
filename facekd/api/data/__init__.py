"""The functions behind the data commands: align, pack, clean, doctor, group."""
