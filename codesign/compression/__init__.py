"""Pruning, the bit-width scan, Hessian-aware widths, affine quantization and quantization-aware training."""
