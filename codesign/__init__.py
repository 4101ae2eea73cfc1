"""codesign: from a trained Keras network to the smallest FPGA design that keeps its quality, proved bit for bit."""
