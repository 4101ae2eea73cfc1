"""The graph of a Keras model as calls of layers: the one place that looks into Keras' private graph.

Of a model in joined form (`codesign.networks.joined`) it is the graph of the model that it was made of.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
from keras.src.models.functional import Functional

from codesign.core.shown import Brief
from codesign.errors import ConversionError


@keras.saving.register_keras_serializable("codesign")
class TakeInput(keras.layers.Layer):
    """One input of several that stand side by side.

    Parameters
    ----------
    start
        Its first place in a row.
    shape
        Of one sample.
    """

    def __init__(self, start: int, shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start, self.shape = int(start), tuple(int(n) for n in shape)

    def call(self, inputs: Any) -> Any:
        """Cut it out and give it its shape."""
        flat = inputs[:, self.start : self.start + math.prod(self.shape)]
        return keras.ops.reshape(flat, (-1, *self.shape))

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "start": self.start, "shape": list(self.shape)}


@keras.saving.register_keras_serializable("codesign")
class JoinOutputs(keras.layers.Layer):
    """Several outputs side by side, flat."""

    def call(self, inputs: Any) -> Any:
        """Flatten and join them."""
        flat = [keras.ops.reshape(each, (-1, math.prod(each.shape[1:]))) for each in inputs]
        return keras.ops.concatenate(flat, axis=-1)


@dataclass(frozen=True)
class Call(Brief):
    """One use of a layer or operation.

    Parameters
    ----------
    layer
        The Keras layer, or the operation that ``keras.ops`` put into the graph.
    name
        Its name; that of a layer in a nested model begins with the nested model's.
    inputs, outputs
        Numbers of the tensors, counted through the whole graph.
    constants
        Arguments that are no tensors of the graph, by name or place; ``None`` and `training` are left out.
    output_shapes
        Shapes of one sample.
    tensors
        Keras' own tensors of the outputs, which belong to the model itself unless it is nested.
    nested
        Whether the call stands in a nested model.
    """

    layer: Any
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: dict[str, Any] = field(default_factory=dict)
    input_shapes: tuple[tuple[int, ...], ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    tensors: tuple[Any, ...] = ()
    nested: bool = False


@dataclass(frozen=True)
class KerasGraph(Brief):
    """All calls in order of execution, nested models opened, and the numbers of the tensors at its ends."""

    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def users(self, tensor: int) -> list[Call]:
        """The calls that read a tensor."""
        return [call for call in self.calls if tensor in call.inputs]


def functional(model: Any) -> Any:
    """The functional model that has the graph.

    Raises
    ------
    ConversionError
        If the model is not built, or is of a class of its own, whose graph nobody knows.
    """
    name = getattr(model, "name", "")
    if isinstance(model, keras.Sequential):
        if not model.built or model._functional is None:
            raise ConversionError(f"the model {name!r} is not built; give its first layer an input shape")
        model = model._functional
    if not isinstance(model, keras.Model) or not hasattr(model, "_nodes_by_depth"):
        raise ConversionError(
            f"the model {name!r} must be a sequential or functional keras.Model, not {type(model).__name__}"
        )
    if type(model).call is not Functional.call:
        raise ConversionError(
            f"the model {name!r} is a {type(model).__name__} with a call of its own, which cannot be read; "
            "give a sequential or functional model"
        )
    return model


def called_on(model: Any, tensors: Sequence[Any]) -> list[Any]:
    """The symbolic outputs of a functional model's layers, called again on other symbolic inputs."""
    given = keras.tree.pack_sequence_as(model._inputs_struct, list(tensors))
    return keras.tree.flatten(model._run_through_graph(given, operation_fn=lambda operation: operation))


def graph_of(model: keras.Model) -> KerasGraph:
    """Read the calls of a sequential or functional model; nested models are opened.

    Raises
    ------
    ConversionError
        As `functional`.
    """
    opened = functional(model)
    walker = _Walker()
    inputs = tuple(walker.new(tensor) for tensor in opened.inputs)
    outputs = walker.walk(opened, inputs, "")
    return _taken_apart(KerasGraph(tuple(walker.calls), inputs, outputs))


def _taken_apart(graph: KerasGraph) -> KerasGraph:
    """The graph of the model that a joined one was made of."""
    calls, inputs, outputs = list(graph.calls), graph.inputs, graph.outputs
    takes = sorted(
        (call for call in calls if type(call.layer) is TakeInput), key=lambda call: call.layer.start
    )
    if takes:
        inputs = tuple(call.outputs[0] for call in takes)
        calls = [call for call in calls if type(call.layer) is not keras.layers.InputLayer]
        calls = [replace(call, inputs=(), input_shapes=()) if call in takes else call for call in calls]
    ends = [call for call in calls if type(call.layer) is JoinOutputs and call.outputs == outputs]
    if ends:
        outputs = ends[0].inputs
        calls.remove(ends[0])
    return KerasGraph(tuple(calls), inputs, outputs)


class _Walker:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.count = 0

    def new(self, tensor: Any) -> int:
        self.count += 1
        return self.count

    def walk(self, model: Any, inputs: tuple[int, ...], prefix: str) -> tuple[int, ...]:
        known = {id(tensor): number for tensor, number in zip(model.inputs, inputs, strict=True)}
        for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True):
            for node in nodes:
                self._node(node, known, prefix)
        return tuple(known[id(tensor)] for tensor in model.outputs)

    def _node(self, node: Any, known: dict[int, int], prefix: str) -> None:
        layer = node.operation
        given = tuple(known[id(tensor)] for tensor in node.arguments.keras_tensors)
        name = f"{prefix}{layer.name}"
        if isinstance(layer, keras.layers.InputLayer):
            if prefix:  # of a nested model: what is put in
                return
            outputs = tuple(known[id(tensor)] for tensor in node.outputs)
        elif isinstance(layer, keras.Model):
            made = self.walk(functional(layer), given, f"{name}_")
            known |= {id(tensor): number for tensor, number in zip(node.outputs, made, strict=True)}
            return
        else:
            outputs = tuple(self.new(tensor) for tensor in node.outputs)
            known |= {id(tensor): number for tensor, number in zip(node.outputs, outputs, strict=True)}
        self.calls.append(
            Call(
                layer,
                name,
                given,
                outputs,
                dict(_constants(node.arguments)),
                tuple(tuple(tensor.shape[1:]) for tensor in node.arguments.keras_tensors),
                tuple(tuple(tensor.shape[1:]) for tensor in node.outputs),
                tuple(node.outputs),
                bool(prefix),
            )
        )


def _constants(arguments: Any) -> Iterator[tuple[str, Any]]:
    for place, value in enumerate(arguments.args):
        if not _is_of_tensors(value):
            yield f"argument {place}", value
    for name, value in arguments.kwargs.items():
        # inference replaces `training`; a tensor by name is a mask or an initial state, not what is computed with
        if value is not None and name != "training":
            yield name, value


def _is_of_tensors(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_of_tensors(one) for one in value)
    return isinstance(value, keras.KerasTensor)
