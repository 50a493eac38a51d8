"""The functions of export, bench, check and students."""
