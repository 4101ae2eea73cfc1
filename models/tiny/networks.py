"""A student of some hundred weights, too small for its task, and a teacher that is not."""

import keras
from keras import layers


def outputs(n_classes):
    """One logit is enough for two classes."""
    return 1 if n_classes == 2 else n_classes


def build_teacher(input_shape, n_classes):
    model = keras.Sequential([keras.Input(input_shape)], name="tiny_teacher")
    for units in (128, 128):
        model.add(layers.Dense(units, use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
        model.add(layers.Dropout(0.2))
    model.add(layers.Dense(outputs(n_classes)))
    return model


def build_student(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(8, activation="relu", name="fc1"),
            layers.Dense(8, activation="relu", name="fc2"),
            layers.Dense(outputs(n_classes), name="logits"),
        ],
        name="tiny_student",
    )
