"""A set of particles: the same small network for each, a mean over the set, and an output for each head of `data.task`."""

import keras
from keras import layers


def deep_set(input_shape, each, together, name):
    inputs = keras.Input(input_shape, name="particles")
    values = inputs
    for number, width in enumerate(each):
        values = layers.Dense(width, activation="relu", name=f"each{number}")(values)
    values = layers.GlobalAveragePooling1D(name="set")(values)
    for number, width in enumerate(together):
        values = layers.Dense(width, activation="relu", name=f"together{number}")(values)
    # in the order of the heads
    outputs = [layers.Dense(1, name="is_tau")(values), layers.Dense(1, name="log_pt")(values)]
    return keras.Model(inputs, outputs, name=name)


def build_teacher(input_shape, n_outputs):
    return deep_set(input_shape, (48, 48), (48, 32), "taus_teacher")


def build_student(input_shape, n_outputs):
    return deep_set(input_shape, (10,), (12,), "taus_student")
