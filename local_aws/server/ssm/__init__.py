"""Systems Manager: public parameters."""
