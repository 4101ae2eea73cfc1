"""Learned widths: one training that gives the whole front of quality against LUTs."""
