"""Does distillation pay, does pruning, and what is left of it in LUTs."""
