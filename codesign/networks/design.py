"""The networks of a design folder: `networks.py` with `build_teacher` and `build_student`."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras

from codesign.core.files import file_digest
from codesign.core.ports import Port, row_shape
from codesign.core.python_file import run_python_file
from codesign.core.task import Task
from codesign.errors import DataError, PythonFileError, SettingsError
from codesign.networks.choices import choice_faults
from codesign.networks.joined import every_layer, input_ports, output_ports
from codesign.networks.logits import last_operations

Builder = Callable[..., keras.Model]

_SCOPE = re.compile(r"[A-Za-z0-9_./>\\-]*")
"""What TensorFlow takes as a scope in a graph: Keras makes one of each name when it trains or predicts."""

SampleShape = tuple[int, ...] | Mapping[str, tuple[int, ...]]
"""The shape of one sample, or the shapes of several inputs by name."""


@dataclass(frozen=True)
class DesignNetworks:
    """The two builders of a design; each takes `(input_shape, n_outputs)` and returns an untrained Keras model.

    For data with several inputs `input_shape` is a mapping of their names to their shapes.

    Of a task with classes `n_outputs` is their number.

    `build_student` may take further arguments by name, the choices of the section `student`.

    Parameters
    ----------
    path
        The `networks.py`.
    build_teacher
        ``None`` when the file defines none: then the settings must name a trained teacher.
    build_student
        The student's builder.
    """

    path: Path
    build_teacher: Builder | None
    build_student: Builder

    @property
    def digest(self) -> str:
        """SHA-256 of the file: a changed network redoes the stages that use it."""
        return file_digest(self.path)


def load_networks(folder: str | Path) -> DesignNetworks:
    """Load `networks.py` of a design folder.

    Raises
    ------
    SettingsError
        If the folder has no `networks.py`, or the file has no `build_student`.
    PythonFileError
        If the file raises while it is loaded.
    """
    path = Path(folder) / "networks.py"
    if not path.is_file():
        raise SettingsError(
            f"{folder} has no networks.py; codesign new makes one to copy: define build_teacher and build_student in it"
        )
    module = run_python_file(path, f"codesign_design_{path.parent.name}_networks")
    student = getattr(module, "build_student", None)
    if student is None:
        raise SettingsError(
            f"{path} defines no build_student(input_shape, n_classes); add one that returns a Keras model"
        )
    return DesignNetworks(path, getattr(module, "build_teacher", None), student)


def build_network(
    builder: Builder,
    path: Path,
    input_shape: SampleShape,
    task: Task,
    choices: Mapping[str, Any] = MappingProxyType({}),
) -> keras.Model:
    """Call a builder and check what it returns against the data.

    Parameters
    ----------
    builder
        Of the design.
    path
        Its `networks.py`, for messages.
    input_shape, n_classes
        Of the data.
    choices
        Further arguments by name, the section `student` of the settings.

    Raises
    ------
    SettingsError
        If the builder takes no such choice, or needs one that is not given.
    PythonFileError
        If the builder raises.
    DataError
        If input or output do not fit the data.
    """
    name = getattr(builder, "__name__", "the builder")
    faults = choice_faults(inspect.signature(builder), f"{name} of {path}", choices)
    if faults:
        raise SettingsError(faults)
    try:
        model = builder(input_shape, task.n_outputs, **choices)
    except (Exception, SystemExit) as error:
        given = ", ".join(
            [repr(input_shape), repr(task.n_outputs), *(f"{k}={v!r}" for k, v in choices.items())]
        )
        raise PythonFileError(f"{path}: {name}({given}) raised {type(error).__name__}: {error}") from error
    if not isinstance(model, keras.Model):
        raise SettingsError(f"{path}: {name} must return a keras.Model, not {type(model).__name__}")
    check_fits(model, f"{path}: {name}", input_shape, task, teaches=name == "build_teacher")
    return model


def check_fits(
    model: keras.Model, what: str, input_shape: SampleShape, task: Task, *, teaches: bool = False
) -> None:
    """Check that a model's input and output shapes fit the data: `DataError` says which does not.

    A network that `teaches` may have the outputs of `Task.teacher_outputs`.
    A softmax or sigmoid at the end is left out where the outputs are logits; where they are values it would be missing.
    """
    check_input_fits(model, what, input_shape)
    ports = output_ports(model)
    sizes = [port.shape for port in ports]
    sample = _row_of(input_shape)
    n_features = math.prod(sample)
    own = task.teacher_outputs(n_features) if teaches else ()
    if own and len(ports) == 1 and sizes[0] in {(n_features,), sample}:
        return
    if len(ports) > 1 and sizes != [(head.n_outputs,) for head in task.tasks]:
        raise DataError(
            f"{what}: it has the outputs {', '.join(f'{port.name} {port.shape}' for port in ports)}, but the data have "
            f"{task.outputs_sentence}; give it one output, or one for each head of data.task in their order"
        )
    if len(ports) == 1 and sizes[0] not in [(count,) for count in task.allowed_outputs]:
        raise DataError(
            f"{what}: the output shape is {sizes[0]}, but the data have {task.outputs_sentence}; end "
            f"with " + " or ".join(f"Dense({count})" for count in (*task.allowed_outputs, *own))
        )
    parts = task.tasks if len(ports) > 1 else [task]
    for last, part, size in zip(last_operations(model), parts, sizes, strict=True):
        activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__).lower()
        if activation not in ("softmax", "sigmoid"):
            continue
        if not part.endings:
            raise DataError(
                f"{what}: it ends in a {activation}, which is left out in hardware, but the outputs of the task "
                f"{part.kind!r} are values; end with a linear layer"
            )
        if activation not in part.endings:
            raise DataError(
                f"{what}: it ends in a {activation}, which chooses one of several classes, but of the data's "
                f"{part.outputs_sentence} any may hold (the task {part.kind!r}); end with a sigmoid or a linear layer, or set "
                "data.task"
            )
        if activation == "softmax" and size == (1,):
            raise DataError(
                f"{what}: it ends in a softmax of one output, which is 1 whatever it reads; end with a sigmoid or a linear layer"
            )


def check_input_fits(model: keras.Model, what: str, input_shape: SampleShape) -> None:
    """Check that a model is built and takes the data's samples: else `DataError`."""
    if not model.built:
        raise DataError(f"{what}: the model is not built; begin it with keras.Input(input_shape)")
    if not getattr(model, "inputs", None):  # of a class of its own
        raise DataError(
            f"{what}: the layers of a {type(model).__name__} cannot be read; give a functional or sequential model"
        )
    names = [model.name, *(layer.name for layer in every_layer(model))]
    odd = next((name for name in names if not _SCOPE.fullmatch(name)), None)
    if odd is not None:
        raise DataError(
            f"{what}: TensorFlow computes nothing under the name {odd!r}; use letters, digits, '.', '-' and '_' in names of "
            "layers and models"
        )
    ports = input_ports(model)
    if None in [size for port in ports for size in port.shape]:
        shape = ports[0].shape
        raise DataError(
            f"{what}: the input shape {shape} is open; give the model's input the data's shape {input_shape}"
        )
    if isinstance(input_shape, Mapping) and len(ports) > 1:
        _check_names(ports, what, input_shape)
        return
    if row_shape(ports) != (sample := _row_of(input_shape)):
        raise DataError(
            f"{what}: the input shape is {row_shape(ports)}, but the data's samples have shape {sample}"
        )


def _row_of(shape: SampleShape) -> tuple[int, ...]:
    """The shape of a sample as it stands in the data."""
    if isinstance(shape, Mapping):
        return row_shape([Port(name, each) for name, each in shape.items()])
    return tuple(shape)


def _check_names(ports: Sequence[Port], what: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Several inputs are those of the data, in their order: by name where the model has names of its own for them."""
    names = [port.name for port in ports]
    if set(names) & set(shapes) and names != list(shapes):
        raise DataError(
            f"{what}: its inputs are {', '.join(names)} in this order, but the data's are {', '.join(shapes)}; name the "
            "arrays in data.inputs as the model has them (those of a mapping are in the order of their sorted names)"
        )
    if [port.shape for port in ports] != list(shapes.values()):
        ours = ", ".join(f"{port.name} {port.shape}" for port in ports)
        theirs = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise DataError(f"{what}: its inputs are {ours}, but the data have {theirs}")
