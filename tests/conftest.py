"""What every test may use."""

from __future__ import annotations

import os

# before anything imports TensorFlow: few lines, the same numbers everywhere, no GPU
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from hypothesis import settings

# a busy machine is no failure of a property
settings.register_profile("codesign", deadline=None)
settings.load_profile("codesign")
