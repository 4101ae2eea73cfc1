# ruff: noqa: E501 - tables of one case a line
"""Keras models as plain networks: the same numbers, every unsupported layer named."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import MODELS, inputs, randomized

from codesign.errors import ConversionError, DataError
from codesign.networks import keras_arguments, keras_reader
from codesign.networks.build import build_float
from codesign.networks.logits import ending_in_logits, predict_logits
from codesign.networks.read_keras import read_keras


def sequential(*built: Any, shape: tuple[int, ...] = (4,)) -> keras.Model:
    return keras.Sequential([keras.Input(shape, name="pixels"), *built], name="mine")


@pytest.mark.parametrize("name", MODELS)
def test_a_described_model_computes_the_same_numbers(name: str) -> None:
    model = randomized(MODELS[name](), 3)
    network = read_keras(model)
    x = inputs(network, 50)
    rebuilt = predict_logits(build_float(network), x)
    np.testing.assert_array_equal(rebuilt, predict_logits(ending_in_logits(model), x))
    assert read_keras(build_float(network)).digest == network.digest


def test_what_describes_a_dense_model() -> None:
    network = read_keras(MODELS["dense"]())
    assert [(layer.name, layer.kind, layer.inputs) for layer in network.layers] == [
        ("features", "input", ()),
        ("fc1", "dense", ("features",)),
        ("norm1", "batch_norm", ("fc1",)),
        ("relu1", "relu", ("norm1",)),
        ("fc2", "dense", ("relu1",)),
        ("fc2_relu", "relu", ("fc2",)),
        ("fc3", "dense", ("fc2_relu",)),
    ]
    assert network.name == "dense"
    assert network.input_shape == (6,)
    assert [(port.name, port.shape) for port in network.outputs] == [("fc3", (3,))]
    assert network.n_parameters == 6 * 8 + 4 * 8 + (8 * 5 + 5) + (5 * 3 + 3)


def test_a_softmax_or_sigmoid_at_the_end_is_left_out_in_every_form() -> None:
    endings: list[Callable[[], list[Any]]] = [
        lambda: [layers.Dense(3, name="fc", activation="softmax")],
        lambda: [layers.Dense(3, name="fc", activation="sigmoid")],
        lambda: [layers.Dense(3, name="fc"), layers.Softmax()],
        lambda: [layers.Dense(3, name="fc"), layers.Activation("softmax")],
        lambda: [layers.Dense(3, name="fc"), layers.Activation("linear")],
        lambda: [layers.Dense(3, name="fc"), layers.Dropout(0.5)],
    ]
    for ending in endings:
        network = read_keras(sequential(*ending()))
        assert [layer.kind for layer in network.layers] == ["input", "dense"]


EQUIVALENT: dict[str, tuple[Callable[[], Any], tuple[int, ...], list[str]]] = {
    "dilation": (lambda: layers.Conv2D(3, (2, 3), dilation_rate=(2, 1), padding="same"), (8, 8, 2), ["conv2d"]),
    "causal dilation": (lambda: layers.Conv1D(3, 2, dilation_rate=3, padding="causal"), (8, 2), ["zero_padding1d", "conv1d"]),
    "groups": (lambda: layers.Conv1D(6, 3, groups=3, strides=2), (9, 6), ["conv1d"]),
    "multiplier": (lambda: layers.DepthwiseConv2D(2, depth_multiplier=3), (5, 5, 2), ["conv2d"]),
    "dilated depthwise": (lambda: layers.DepthwiseConv1D(3, dilation_rate=2), (9, 2), ["depthwise_conv1d"]),
    "separable": (
        lambda: layers.SeparableConv1D(3, 2, depth_multiplier=2, dilation_rate=2, padding="same"),
        (9, 2),
        ["conv1d", "conv1d"],
    ),
    "a simple recurrence": (
        lambda: layers.SimpleRNN(3, activation="sigmoid"),
        (2, 4),
        ["dense", "cropping1d", "reshape", "sigmoid", "cropping1d", "reshape", "dense", "add", "sigmoid"],
    ),
    "one of sequences, backwards": (
        lambda: layers.SimpleRNN(3, return_sequences=True, go_backwards=True, use_bias=False, activation=None),
        (2, 4),
        ["dense", "cropping1d", "reshape", "reshape", "cropping1d", "reshape", "dense", "add", "reshape", "concatenate"],
    ),
    "an einsum of any axes before": (lambda: layers.EinsumDense("...x,xy->...y", 3, bias_axes="y"), (4, 2), ["dense"]),
    "an einsum without bias": (lambda: layers.EinsumDense("abc,cd->abd", (4, 3)), (4, 2), ["dense"]),
    "one step": (lambda: layers.SimpleRNN(3), (1, 4), ["dense", "reshape", "tanh"]),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUIVALENT)
def test_what_hls4ml_does_not_compute_is_read_as_what_it_does(name: str) -> None:
    make, shape, kinds = EQUIVALENT[name]
    model = keras.Sequential([keras.Input(shape), make(), layers.Flatten(), layers.Dense(3)])
    network = read_keras(randomized(model, 4))  # compares
    assert sorted(layer.kind for layer in network.layers[1:-2]) == sorted(kinds)


@pytest.mark.parametrize("kind", ["Add", "Average", "Multiply", "Maximum", "Minimum", "Concatenate"])
def test_layers_of_three_tensors_are_read_two_at_a_time(kind: str) -> None:
    features = keras.Input((4,), name="features")
    given = [layers.Dense(3)(features) for _ in range(3)]
    model = keras.Model(features, layers.Dense(2)(getattr(layers, kind)(name="many")(given)))
    network = read_keras(randomized(model, 5))  # compares
    read = ["add", "add", "scale"] if kind == "Average" else [kind.lower()] * 2
    assert [layer.kind for layer in network.layers if layer.kind not in ("input", "dense")] == read


def test_names_become_identifiers_of_cpp() -> None:
    network = read_keras(sequential(layers.Dense(3, name="1st-layer"), layers.Dense(2, name="out put")))
    assert [layer.name for layer in network.layers] == ["features", "layer_1st_layer", "out_put"]


def test_constants_of_a_batch_normalisation_that_are_left_out_are_one_and_zero() -> None:
    network = read_keras(
        randomized(sequential(layers.BatchNormalization(scale=False, center=False, name="norm")), 1)
    )
    weights = network["norm"].weights
    assert weights["gamma"].tolist() == [1] * 4
    assert weights["beta"].tolist() == [0] * 4


def shared_layer() -> keras.Model:
    given = keras.Input((4,))
    dense = layers.Dense(4, name="twice")
    return keras.Model(given, dense(dense(given)), name="mine")


IMAGE = (8, 8, 2)
INSTEAD = (
    "use relu, tanh, sigmoid, softmax, softplus, softsign, elu, selu, leaky_relu, relu6, hard_sigmoid, hard_tanh, silu, "
    "hard_silu or mish"
)


@keras.saving.register_keras_serializable("tests")
class Doubling(layers.Dense):
    """A Dense of the user's own, which computes something else."""

    def call(self, inputs: Any) -> Any:
        return 2 * super().call(inputs)


class Dense(layers.Layer):
    """A layer that only has the name of Keras' own."""

    def call(self, inputs: Any) -> Any:
        return inputs * 3


class OwnModel(keras.Model):
    """A functional model with a call of its own."""

    def call(self, inputs: Any) -> Any:
        return -super().call(inputs)


def with_graph(make: Callable[[Any], Any], shape: tuple[int, ...] = (4,)) -> keras.Model:
    given = keras.Input(shape)
    return keras.Model(given, make(given), name="mine")


def quantized_by_keras() -> keras.Model:
    model = sequential(layers.Dense(3, name="fc"))
    model.quantize("int8")
    return model


def with_lora() -> keras.Model:
    model = sequential(layers.Dense(3, name="fc"))
    model.get_layer("fc").enable_lora(2)
    return model


def not_finite() -> keras.Model:
    model = sequential(layers.Dense(3, name="fc"))
    model.get_layer("fc").kernel.assign(np.full((4, 3), np.nan))
    return model


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (lambda: sequential(layers.LSTM(3, activation="relu", name="memory"), layers.Dense(2), shape=(5, 2)), "layer 'memory' has activation='relu'; only activation='tanh' is supported"),
        (lambda: sequential(layers.SimpleRNN(3, name="memory"), shape=(50, 2)), "layer 'memory' is a SimpleRNN of 50 steps, of which hls4ml 1.3 has no C++; up to 32 steps are unrolled: use GRU"),
        (lambda: sequential(layers.Bidirectional(layers.GRU(3), name="memory"), shape=(50, 2)), "layer 'memory_backward' goes backwards over 50 steps; a sequence of up to 32 is turned round: turn round the data, or use one direction"),
        (lambda: sequential(layers.Bidirectional(layers.GRU(3, reset_after=False), name="memory"), shape=(5, 2)), "layer 'memory_forward' has reset_after=False; only reset_after=True is supported"),
        (lambda: sequential(layers.Embedding(5, 2, mask_zero=True, name="table"), layers.Flatten(), layers.Dense(2)), "layer 'table' has mask_zero=True; only mask_zero=False is supported"),
        (lambda: sequential(layers.ReLU(name="act"), layers.Embedding(5, 2, name="table"), layers.Flatten(), layers.Dense(2)), "layer 'table' is an Embedding of 'act' (relu), not of an input; its indices must be whole numbers of the data"),
        (lambda: with_graph(lambda x: layers.Dense(2)(layers.Softmax(name="by")(x, layers.ReLU()(x)))), "layer 'by' (Softmax) is called with 2 tensors; call it with its input alone: masks and initial states are not supported"),
        (lambda: with_graph(lambda x: layers.Dense(2)(layers.Concatenate()(layers.Bidirectional(layers.GRU(2), merge_mode=None, name="both")(x))), (5, 2)), "layer 'both' (Bidirectional) has 2 outputs; only one is supported"),
        (lambda: sequential(layers.GRU(3, activation="relu", name="memory"), shape=(5, 2)), "layer 'memory' has activation='relu'; only activation='tanh' is supported"),
        (lambda: sequential(layers.GRU(3, recurrent_activation="hard_sigmoid", name="memory"), shape=(5, 2)), "layer 'memory' has recurrent_activation='hard_sigmoid'; only recurrent_activation='sigmoid' is supported"),
        (lambda: sequential(layers.GRU(3, reset_after=False, name="memory"), shape=(5, 2)), "layer 'memory' has reset_after=False; only reset_after=True is supported"),
        (lambda: with_graph(lambda x: layers.GRU(3, return_state=True, name="memory")(x)[0], (5, 2)), "layer 'memory' (GRU) has 2 outputs; only one is supported"),
        (lambda: with_graph(lambda x: layers.GRU(2, name="memory")(x, initial_state=layers.Flatten()(layers.GlobalAveragePooling1D()(x))), (5, 2)), "layer 'memory' (GRU) is given a tensor as initial_state, which is not supported; call it with its input alone"),
        (lambda: with_graph(lambda x: layers.GRU(2, name="memory")(x, layers.GlobalAveragePooling1D()(x)), (5, 2)), "layer 'memory' (GRU) is called with 2 tensors; call it with its input alone"),
        (lambda: sequential(layers.Dense(3, activation=layers.PReLU(), name="fc")), "layer 'fc' has a PReLU as activation, whose weights were never made; put it behind the layer as a layer of its own"),
        (lambda: sequential(layers.Dense(3, activation="celu", name="fc")), f"layer 'fc' has the activation celu (function), which is not supported; {INSTEAD}"),
        (lambda: sequential(layers.Dense(3, activation=lambda x: x * 2, name="fc")), "layer 'fc' has the activation <lambda> (function), which is not supported"),
        (lambda: sequential(layers.Dense(3, activation=partial(keras.activations.elu, alpha=0.3), name="fc")), "(partial), which is not supported"),
        (lambda: sequential(layers.ReLU(threshold=1.0, name="act"), layers.Dense(2)), "layer 'act' is a ReLU with threshold=1.0; only 0 is supported"),
        (lambda: sequential(layers.Flatten(data_format="channels_first", name="flat"), layers.Dense(2), shape=IMAGE), "layer 'flat' has data_format='channels_first'; only data_format='channels_last' is supported"),
        (lambda: sequential(layers.GlobalMaxPooling1D(data_format="channels_first", name="pool"), layers.Dense(2), shape=(5, 2)), "layer 'pool' has data_format='channels_first'; only data_format='channels_last' is supported"),
        (lambda: sequential(layers.AveragePooling2D(2, padding="same", name="mean"), layers.Conv2D(1, 1), shape=IMAGE), "layer 'mean' has padding='same'; only padding='valid' is supported"),
        (lambda: sequential(layers.Dense(3, activation="gelu", name="fc")), "layer 'fc' has the activation gelu (function), which is not supported; hls4ml's C++ for Vitis has none; the nearest is silu, else relu"),
        (lambda: with_graph(lambda x: layers.Dense(2)(layers.Dot(axes=1, normalize=True, name="dot")([x, x]))), "layer 'dot' has normalize=True; only normalize=False is supported"),
        (lambda: sequential(layers.BatchNormalization(axis=1, name="norm"), shape=IMAGE), "layer 'norm' has axis=1; only the last axis is supported"),
        (lambda: sequential(layers.Rescaling([[1.0], [2.0], [3.0]], name="by"), layers.Dense(2), shape=(3, 4)), "layer 'by' scales along other axes than the last"),
        (lambda: sequential(layers.UpSampling2D(2, interpolation="bilinear", name="up"), layers.Conv2D(1, 1), shape=IMAGE), "layer 'up' has interpolation='bilinear'; only interpolation='nearest' is supported"),
        (lambda: sequential(layers.EinsumDense("abc,bd->adc", (3, 4), name="mix"), layers.Flatten(), layers.Dense(1), shape=(5, 4)), "layer 'mix' is an EinsumDense of 'abc,bd->adc'"),
        (lambda: sequential(layers.EinsumDense("abc,cd->adb", (4, 5), name="mix"), layers.Flatten(), layers.Dense(1), shape=(5, 4)), "layer 'mix' is an EinsumDense of 'abc,cd->adb' (bias_axes=None)"),
        (lambda: sequential(layers.EinsumDense("abc,cde->abde", (5, 4, 3), name="mix"), layers.Flatten(), layers.Dense(1), shape=(5, 4)), "layer 'mix' is an EinsumDense of 'abc,cde->abde'"),
        (lambda: sequential(layers.EinsumDense("abc,cd->abd", (5, 4), bias_axes="bd", name="mix"), layers.Flatten(), layers.Dense(1), shape=(5, 4)), "layer 'mix' is an EinsumDense of 'abc,cd->abd' (bias_axes='bd')"),
        (lambda: sequential(layers.TimeDistributed(layers.Conv1D(2, 2), name="td"), shape=(3, 5, 2)), "layer 'td' is a TimeDistributed Conv1D; only TimeDistributed(Dense) is supported"),
        (lambda: sequential(layers.Masking(name="mask"), layers.Flatten(), layers.Dense(2), shape=(5, 2)), "layer 'mask' is a Masking, which is not supported; hardware has a fixed length"),
        (lambda: sequential(layers.RandomCrop(4, 4, name="crop"), layers.Flatten(), layers.Dense(2), shape=IMAGE), "layer 'crop' is a RandomCrop, which is not supported"),
        (lambda: sequential(Doubling(3, name="fc")), "layer 'fc' is a Doubling of test_read_keras, made from Dense: what it computes cannot be known; use Dense itself"),
        (lambda: sequential(Dense(name="fc"), layers.Dense(2)), "layer 'fc' is a Dense, which is not supported"),
        (lambda: sequential(layers.Dense(3, dtype="bfloat16", name="fc")), "layer 'fc' has dtype='bfloat16'; only dtype='float32' is supported"),
        (quantized_by_keras, "layer 'fc' has dtype='int8_from_float32'; only dtype='float32' is supported"),
        (with_lora, "layer 'fc' has lora_rank=2; only lora_rank=None is supported"),
        (not_finite, "layer 'fc' has values in kernel that are not finite"),
        (lambda: with_graph(lambda x: layers.Dense(3)(x) + 1.0), " is called with argument 1=1.0, which cannot be read"),
        (lambda: with_graph(lambda x: layers.Dense(3)(x[:, :2])), "the graph has the operation GetItem (get_item), which is not supported; use Cropping1D or Cropping2D, or"),
        (lambda: with_graph(lambda x: keras.ops.squeeze(layers.Dense(1)(x), -1)), "leaves no axis but that of the samples; leave it out"),
        (lambda: with_graph(lambda x: keras.ops.exp(layers.Dense(3)(x))), "the graph has the operation Exp (exp), which is not supported; use a layer instead"),
        (lambda: with_graph(lambda x: layers.Dense(3)(layers.Flatten()(layers.Add(name="sum")([layers.Conv2D(3, 1)(x), layers.Conv2D(1, 1)(x)]))), IMAGE), "layer 'sum' (Add) takes the shapes (8, 8, 3), (8, 8, 1); hls4ml repeats the smaller one in another order"),
        (lambda: sequential(layers.Conv1D(3, 1, name="open"), shape=(None, 2)), "layer 'pixels' has the shape (None, 2); give the network's input a fixed shape"),
    ],
)  # fmt: skip
def test_what_has_no_hardware_form_is_named(model: Callable[[], keras.Model], fault: str) -> None:
    with pytest.raises(ConversionError) as caught:
        read_keras(model())
    message = str(caught.value)
    assert message.startswith("the model 'mine' cannot become hardware\n  - ")
    assert fault in message


def test_whole_numbers_are_what_an_input_of_whole_numbers_takes() -> None:
    model = keras.Sequential([keras.Input((4,), dtype="int32"), layers.Dense(3, name="fc")], name="mine")
    read_keras(model)
    x = np.arange(12.0).reshape(3, 4)
    read_keras(model, x)
    with pytest.raises(
        ConversionError,
        match="takes int32, so that Keras cuts off the fractions of the data, unlike hardware",
    ):
        read_keras(model, x / 2)


def test_all_faults_of_a_model_come_together() -> None:
    model = sequential(
        layers.Dense(3, activation="gelu", name="a"), layers.LayerNormalization(name="b"), layers.Dense(2)
    )
    with pytest.raises(ConversionError) as caught:
        read_keras(model)
    assert str(caught.value).count("\n  - layer ") == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: keras.Sequential([layers.Dense(2)], name="mine"),
            "the model 'mine' is not built; give its first layer an input shape",
        ),
        (
            lambda: layers.Dense(2, name="fc"),
            "the model 'fc' must be a sequential or functional keras.Model, not Dense",
        ),
        (
            lambda: OwnModel(given := keras.Input((4,)), layers.Dense(2)(given), name="mine"),
            "the model 'mine' is a OwnModel with a call of its own, which cannot be read; "
            "give a sequential or functional model",
        ),
        (
            lambda: sequential(layers.Flatten()),
            "the model 'mine' has no layer that multiplies by weights; nothing is to be built",
        ),
    ],
)
def test_what_is_no_chain_is_refused(model: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        read_keras(model())
    assert str(caught.value) == message


def test_a_branch_that_reaches_no_output_is_left_out() -> None:
    given = keras.Input((4,))
    kept = layers.Dense(2, name="kept")(given)
    layers.Dense(3, name="lost")(given)
    assert [layer.name for layer in read_keras(keras.Model(given, kept)).layers] == ["features", "kept"]


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu", name="fc")], name="inner")
    return sequential(inner, layers.Dense(2, name="fc"))


def nested_twice() -> keras.Model:
    given = keras.Input((4,))
    inner = keras.Model(given, layers.Dense(4, activation="tanh", name="fc")(given), name="inner")
    return with_graph(lambda x: layers.Dense(2)(inner(inner(x))))


def adapted() -> keras.Model:
    norm = layers.Normalization(name="norm")
    norm.adapt(np.random.default_rng(0).normal(3, 7, (100, 4)))
    return sequential(norm, layers.Dense(3, activation="softmax"))


READ = {
    "a layer used twice": shared_layer,
    "nested": nested,
    "nested and used twice": nested_twice,
    "adapted normalisation": adapted,
    "given normalisation": lambda: sequential(
        layers.Normalization(mean=[1.0, 2, 3, 4], variance=[0.1, 1, 2, 3]), layers.Dense(2)
    ),
    "inverted normalisation": lambda: sequential(
        layers.Normalization(mean=[1.0, 2, 3, 4], variance=[0.1, 1, 2, 3], invert=True), layers.Dense(2)
    ),
    "scalar product": lambda: with_graph(
        lambda x: layers.Dense(2)(layers.Dot(axes=-1)([layers.Dense(3)(x), layers.Dense(3)(x)]))
    ),
    "rescaling": lambda: sequential(layers.Rescaling(1 / 16, offset=-1), layers.Dense(2)),
    "an activation that is a layer": lambda: sequential(
        layers.Dense(5, activation=layers.LeakyReLU(0.1)), layers.Dense(2)
    ),
    "limits": lambda: sequential(
        layers.Dense(5, activation="relu6"),
        layers.Dense(5, activation="hard_sigmoid"),
        layers.Dense(5, activation="hard_tanh"),
        layers.ReLU(max_value=0.5),
        layers.Dense(2),
    ),
    "slopes": lambda: sequential(
        layers.Dense(5), layers.ReLU(negative_slope=0.2), layers.Dense(5), layers.PReLU(), layers.Dense(2)
    ),
    "functions": lambda: sequential(
        *(layers.Dense(4, activation=name) for name in ("tanh", "sigmoid", "softplus", "softsign", "selu")),
        layers.ELU(0.5),
        layers.Dense(2),
    ),
    "three of each": lambda: with_graph(
        lambda x: layers.Dense(2)(
            layers.Concatenate()(
                [
                    layers.Add()([layers.Dense(3)(x), layers.Dense(3)(x), layers.Dense(3)(x)]),
                    layers.Average()([layers.Dense(3)(x), layers.Dense(3)(x), layers.Dense(3)(x)]),
                    layers.Maximum()([layers.Dense(3)(x), layers.Dense(3)(x), layers.Dense(3)(x)]),
                ]
            )
        )
    ),
    "operations": lambda: with_graph(
        lambda x: layers.Dense(2)(keras.ops.relu(layers.Dense(3)(x) + layers.Dense(3)(x)))
    ),
    "operations that are activations": lambda: with_graph(
        lambda x: layers.Dense(2)(
            layers.Concatenate()(
                [
                    function(layers.Dense(3)(x))
                    for function in (
                        keras.ops.silu, keras.ops.hard_silu, keras.ops.relu6, keras.ops.hard_sigmoid, keras.ops.hard_tanh,
                        lambda y: keras.ops.leaky_relu(y, 0.3), lambda y: keras.ops.elu(y, 0.5),
                    )
                ]
            )
        )
    ),
    "operations that move values": lambda: with_graph(
        lambda x: layers.Dense(2)(
            layers.Flatten()(
                layers.Conv1D(3, 2)(
                    keras.ops.transpose(keras.ops.squeeze(keras.ops.expand_dims(layers.Dense(5)(x), 1), 1), (0, -1, 1))
                )
            )
        ),
        (4, 3),
    ),
    "per step": lambda: sequential(
        layers.TimeDistributed(layers.Dense(4, activation="relu")),
        layers.EinsumDense("abc,cd->abd", (5, 3), bias_axes="d", activation="relu"),
        layers.Dense(3),
        layers.GlobalAveragePooling1D(),
        layers.Dense(2),
        shape=(5, 2),
    ),
    "causal and separable": lambda: sequential(
        layers.Conv1D(4, 3, padding="causal", activation="relu"),
        layers.SeparableConv1D(3, 3, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(2),
        shape=(9, 2),
    ),
    "what does nothing": lambda: sequential(
        layers.RandomFlip(),
        layers.Conv2D(3, 3, padding="same"),
        layers.Identity(),
        layers.ActivityRegularization(0.1),
        layers.GaussianNoise(0.2),
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Flatten(),
        layers.Dense(2),
        shape=IMAGE,
    ),
    "repeated": lambda: sequential(layers.RepeatVector(3), layers.Conv1D(2, 2), layers.Flatten(), layers.Dense(2)),
    "turned": lambda: sequential(layers.Permute((2, 1)), layers.Conv1D(2, 2), layers.Flatten(), layers.Dense(2), shape=(5, 3)),
    "cut and grown": lambda: sequential(
        layers.Cropping2D(((1, 0), (2, 1))), layers.UpSampling2D((2, 1)), layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(2), shape=IMAGE
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_what_is_read_computes_what_the_model_computes(name: str) -> None:
    model = READ[name]()
    if name not in ("adapted normalisation",):
        model = randomized(model, 5)
    network = read_keras(model)
    x = np.random.default_rng(2).normal(size=(40, *network.input_shape)).astype(np.float32)
    expected = predict_logits(ending_in_logits(model), x)
    np.testing.assert_allclose(
        predict_logits(build_float(network), x), expected, atol=1e-4 * np.abs(expected).max()
    )


def test_names_that_clash_or_that_hls4ml_takes_for_its_own_are_changed() -> None:
    names = ["a-b", "a.b", "FC", "fc", "p", "input", "features", "größe", "in put", "fc_relu", "t"]
    model = sequential(*(layers.Dense(3, name=name) for name in names))
    read = [layer.name for layer in read_keras(model).layers[1:]]
    assert len({name.lower() for name in read}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name not in "input" for name in read)
    assert read[:4] == ["a_b", "a_b_2", "FC", "fc_2"]


@pytest.mark.parametrize("layer_class", keras_reader.CLASSES, ids=lambda known: known.__name__)
def test_somebody_has_said_what_becomes_of_every_argument(layer_class: type) -> None:
    assert not keras_arguments.undeclared(layer_class)


def test_a_table_has_an_input_of_its_own() -> None:
    def both(x: Any) -> Any:
        return layers.Dense(2)(
            layers.Concatenate(name="both")([layers.Flatten()(layers.Embedding(5, 2)(x)), x])
        )

    with pytest.raises(ConversionError) as caught:
        read_keras(with_graph(both, (3,)))
    assert str(caught.value) == (
        "input 'features' of 'mine' is read by an Embedding and by 'both'; give the Embedding an input of its own, of whole numbers"
    )


@pytest.mark.parametrize(("value", "shown"), [(-0.5, "-0.5"), (5.0, "5"), (-1.0, "-1")])
def test_data_that_a_table_has_no_row_for_are_refused(value: float, shown: str) -> None:
    model = sequential(layers.Embedding(5, 2), layers.Flatten(), layers.Dense(2))
    x = np.zeros((6, 4))
    assert [layer.kind for layer in read_keras(model, x).layers][1] == "embedding"
    x[3, 1] = value
    with pytest.raises(DataError) as caught:
        read_keras(model, x)
    assert str(caught.value) == (
        f"'mine' looks its input 'features' up in a table of 5 rows, but the data have the value {shown} there; give whole "
        "numbers from 0, with data.scaling none"
    )


def test_a_model_of_a_gru_alone_is_refused() -> None:
    with pytest.raises(ConversionError) as caught:
        read_keras(sequential(layers.GRU(3, name="memory"), shape=(5, 2)))
    assert str(caught.value) == (
        "the model 'mine' has weights in gru alone; end it with a Dense layer, whose formats and costs are counted"
    )


def test_a_misreading_is_refused_with_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_bias(reader: Any, call: Any, inputs: Any) -> str:
        return reader.add(call.name, "dense", inputs, {}, {"kernel": np.asarray(call.layer.kernel)})

    monkeypatch.setitem(keras_reader._READERS, layers.Dense, without_bias)
    model = randomized(
        sequential(
            layers.Conv1D(3, 2, name="conv"), layers.Flatten(), layers.Dense(2, name="fc"), shape=(5, 2)
        ),
        1,
    )
    with pytest.raises(ConversionError) as caught:
        read_keras(model)
    assert re.fullmatch(
        r"the network that was read of 'mine' computes other numbers than the model itself for 32 of 32 samples, first at "
        r"index 0; the first layer that differs is 'fc' \(Dense, read as 'fc'\), by up to [\d.]+; replace it by a supported "
        r"layer",
        str(caught.value),
    )


def forget(norm: Any) -> None:
    norm.mean, norm.variance = np.zeros((1, 4)), np.ones((1, 4))


def test_a_copy_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted()
    monkeypatch.setattr(layers.Normalization, "finalize_state", forget)
    with pytest.raises(
        ConversionError, match=r"ends at its logits computes other numbers \(by up to [\d.]+\); one of its"
    ):
        ending_in_logits(model)
