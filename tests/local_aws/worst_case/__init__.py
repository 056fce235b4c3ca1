"""Our commands while AWS is at its worst."""
