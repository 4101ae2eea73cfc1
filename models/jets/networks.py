"""LHC jets from 16 high-level features: the 16-64-32-32-5 network of the hls4ml papers, and a larger teacher."""

import keras
from keras import layers


def build_teacher(input_shape, n_classes):
    model = keras.Sequential([keras.Input(input_shape)], name="jets_teacher")
    for units in (256, 256, 128):
        model.add(layers.Dense(units, use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
        model.add(layers.Dropout(0.1))
    model.add(layers.Dense(n_classes, activation="softmax"))
    return model


def build_student(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(64, activation="relu", name="fc1"),
            layers.Dense(32, activation="relu", name="fc2"),
            layers.Dense(32, activation="relu", name="fc3"),
            layers.Dense(n_classes, name="logits"),
        ],
        name="jets_student",
    )
