"""A network as a plain value, read from Keras and QKeras models and built into them."""
