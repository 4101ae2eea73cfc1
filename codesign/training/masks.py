"""Weights held at zero: masks that survive every optimizer step, fine-tuning and quantization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from codesign.networks.build import kernel_variable


def hold_zeros(model: keras.Model, masks: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Constrain kernels to their masks; the masks may be changed while training goes on.

    Parameters
    ----------
    model
        Not yet compiled.
    masks
        By layer name, float32 or bool in the kernel's shape: 1 keeps, 0 holds at zero.

    Returns
    -------
    dict
        The mask variables by layer name; assign to them to prune further.

    Notes
    -----
    A variable's constraint is applied by the Keras optimizer after each of its updates, so a masked weight is exactly
    zero after every step whatever its gradient and momentum are. It lives on the variable, not in the layer's
    configuration, so that a saved model needs nothing of ours.
    """
    variables = {}
    for name, mask in masks.items():
        kernel = kernel_variable(model.get_layer(name))
        mask = np.asarray(mask, dtype=np.float32)
        variable = keras.Variable(mask, trainable=False, name=f"{name}_mask")
        kernel.constraint = _Masked(variable)
        kernel.assign(keras.ops.convert_to_numpy(kernel) * mask)
        variables[name] = variable
    return variables


class _Masked(keras.constraints.Constraint):
    def __init__(self, mask: keras.Variable) -> None:
        self.mask = mask

    def __call__(self, weight: Any) -> Any:
        return weight * self.mask
