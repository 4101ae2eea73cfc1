"""Import the Keras back end without the lines that it prints while it loads."""

from __future__ import annotations

import logging
import os
import sys
import tempfile


def import_backend() -> None:
    """Import TensorFlow and Keras; what TensorFlow's C++ writes to stderr meanwhile is shown only if it fails."""
    if "tensorflow" in sys.modules:
        return
    # read when TensorFlow is imported, and never again
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as noise:
        kept = os.dup(2)
        os.dup2(noise.fileno(), 2)
        try:
            import keras
            import tensorflow

            keras.config.disable_traceback_filtering()
            tensorflow.constant(0)
        except BaseException:
            noise.seek(0)
            os.write(kept, noise.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    # Keras builds a predict function for every model: TensorFlow takes the many small models for one that retraces
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
