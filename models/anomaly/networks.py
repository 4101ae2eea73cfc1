"""An autoencoder whose error is an anomaly score, and a student that says the score without reconstructing anything."""

import keras
from keras import layers


def build_teacher(input_shape, n_outputs):
    """As many outputs as inputs: what it cannot reconstruct is anomalous."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(48, activation="relu"),
            layers.Dense(24, activation="relu"),
            layers.Dense(6, activation="relu", name="latent"),
            layers.Dense(24, activation="relu"),
            layers.Dense(48, activation="relu"),
            layers.Dense(input_shape[0], name="reconstruction"),
        ],
        name="anomaly_teacher",
    )


def build_student(input_shape, n_outputs):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(24, activation="relu", name="fc1"),
            layers.Dense(12, activation="relu", name="fc2"),
            layers.Dense(n_outputs, name="score"),
        ],
        name="anomaly_student",
    )
