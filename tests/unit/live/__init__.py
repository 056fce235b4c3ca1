"""The pure parts of the live test."""
