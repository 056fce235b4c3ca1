"""Judges that are no part of `make test`: other engines than the local AWS, and Lambda's own runtime."""
