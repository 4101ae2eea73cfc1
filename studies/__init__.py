"""Measurements behind the docs: over seeds, on data sets, resumable."""
