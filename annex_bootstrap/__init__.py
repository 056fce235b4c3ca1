"""The local client of annex-bootstrap: deploys the stack and writes its outputs into the pool's configuration."""
