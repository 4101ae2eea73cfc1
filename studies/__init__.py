"""Measurements behind the docs: over seeds, on data sets, resumable."""

from codesign.networks.backend import import_backend

import_backend()  # before a report's own imports: what TensorFlow prints while it loads is no part of a report
