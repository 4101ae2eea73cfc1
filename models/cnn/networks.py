"""Images of 8 x 8 pixels: a wide convolutional teacher, and a student of one strided convolution."""

import keras
from keras import layers


def build_teacher(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(24, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dense(n_classes),
        ],
        name="cnn_teacher",
    )


def build_student(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(4, 3, strides=2, activation="relu", name="conv"),
            layers.Flatten(name="flat"),
            layers.Dense(16, activation="relu", name="fc"),
            layers.Dense(n_classes, name="logits"),
        ],
        name="cnn_student",
    )
