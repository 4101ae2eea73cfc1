"""Handwritten digits: a wide teacher and a student that fits a corner of the FPGA."""

import keras
from keras import layers


def build_teacher(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(256, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(0.3),
            layers.Dense(128, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(0.3),
            layers.Dense(n_classes, activation="softmax"),
        ],
        name="digits_teacher",
    )


def build_student(input_shape, n_classes, width1=64, width2=32):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(width1, use_bias=False, name="fc1"),
            layers.BatchNormalization(name="norm1"),
            layers.Activation("relu", name="relu1"),
            layers.Dense(width2, use_bias=False, name="fc2"),
            layers.BatchNormalization(name="norm2"),
            layers.Activation("relu", name="relu2"),
            layers.Dense(n_classes, name="logits"),
        ],
        name="digits_student",
    )
