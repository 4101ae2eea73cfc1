"""A GRU that reads a sequence of steps: by default the digits, an image of eight lines, line by line."""

import keras
from keras import layers


def outputs(n_classes):
    """One logit is enough for two classes."""
    return 1 if n_classes == 2 else n_classes


def build_teacher(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.GRU(48, name="memory"),
            layers.Dropout(0.2),
            layers.Dense(outputs(n_classes), name="logits"),
        ],
        name="sequence_teacher",
    )


def build_student(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.GRU(16, name="memory"),
            layers.Dense(16, activation="relu", name="fc1"),
            layers.Dense(outputs(n_classes), name="logits"),
        ],
        name="sequence_student",
    )
