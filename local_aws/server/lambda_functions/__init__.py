"""Lambda: the processes of functions, what they get, and where they log."""
