"""The life of a stack under an institution's own documents, on the local AWS."""
