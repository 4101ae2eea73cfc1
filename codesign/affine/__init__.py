"""Numbers with scales and zero points: quantizers, calibrators, integer-only networks and their quality."""
