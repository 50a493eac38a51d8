"""The one way in and the one way out for files: bounded readers, checks of outputs, locks, atomic writing."""
