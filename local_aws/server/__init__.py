"""The local AWS: MiniStack, extended by a subpackage for each service; ``app`` is what is served."""
