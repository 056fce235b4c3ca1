"""Where a command prints: text for people, one JSON document for programs, tables, progress."""
