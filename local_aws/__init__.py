"""A local AWS on loopback, for the demo and for tests: launcher, server and demo."""
