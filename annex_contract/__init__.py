"""What the client, the template and the functions share. Standard library only."""

__version__ = "0.2.0"
