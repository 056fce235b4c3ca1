"""Lambda: what a function's process gets."""
