"""How each kind of layer computes, after the C++ templates of hls4ml."""
