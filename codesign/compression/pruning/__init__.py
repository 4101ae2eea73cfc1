"""How weights, neurons and multipliers are ranked and removed; `codesign.compression.prune` is the stage."""
