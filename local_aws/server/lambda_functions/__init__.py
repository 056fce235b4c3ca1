"""Lambda: the processes of functions."""
