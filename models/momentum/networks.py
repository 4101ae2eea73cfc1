"""A momentum: a wide teacher, a student of some hundred weights; both end in one linear output a target."""

import keras
from keras import layers


def build_teacher(input_shape, n_outputs):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(n_outputs),
        ],
        name="momentum_teacher",
    )


def build_student(input_shape, n_outputs):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(16, activation="relu", name="fc1"),
            layers.Dense(12, activation="relu", name="fc2"),
            layers.Dense(n_outputs, name="momentum"),
        ],
        name="momentum_student",
    )
