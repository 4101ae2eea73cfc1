"""Gamma rays against hadrons in the MAGIC telescope: one logit, trained by the binary forms of the losses."""

import keras
from keras import layers


def build_teacher(input_shape, n_classes):
    model = keras.Sequential([keras.Input(input_shape)], name="magic_teacher")
    for units in (128, 128, 64):
        model.add(layers.Dense(units, use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
        model.add(layers.Dropout(0.1))
    model.add(layers.Dense(1, activation="sigmoid"))
    return model


def build_student(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(16, activation="relu", name="fc1"),
            layers.Dense(16, activation="relu", name="fc2"),
            layers.Dense(1, name="logit"),
        ],
        name="magic_student",
    )
