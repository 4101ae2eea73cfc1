"""Accuracy against bits, by every way to choose them."""
