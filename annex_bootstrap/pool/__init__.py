"""The pool's side: its configuration files, our blocks in them, and private files."""
