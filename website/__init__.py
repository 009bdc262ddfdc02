"""Builds the documentation site from docs/, the notebooks and the options themselves: `make docs`."""
