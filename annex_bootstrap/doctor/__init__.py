"""What can be wrong with a setup, and looking for it."""
