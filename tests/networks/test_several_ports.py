"""Networks of several inputs and outputs: read, built, joined, proved, and what of them is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from codesign.compression.pruning.dead import without_dead_units
from codesign.compression.pruning.targets import SkipReason
from codesign.compression.pruning.units import removable_units
from codesign.core.fixed_point import FixedPoint
from codesign.core.ports import Port, apart, columns_of, row_shape, side_by_side
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.target import Target
from codesign.cost import luts_by_layer
from codesign.emulation import Emulator
from codesign.errors import ConversionError, DataError, SettingsError, VerificationError
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import read_graph
from codesign.hls.project import write_project
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import LayerSpec, Network
from codesign.networks.joined import input_ports, n_outputs, output_ports
from codesign.networks.layer_outputs import trace_layers
from codesign.networks.loading import load_model
from codesign.networks.logits import ending_in_logits, predict_logits
from codesign.networks.prepare import hardware_form, prepare_for_quantization
from codesign.networks.read_keras import read_keras, read_qkeras
from codesign.networks.shapes import layer_shapes
from codesign.verification import compare, diagnose, diagnose_outputs, ladder_rungs, verify_project
from codesign.verification.csim_trace import trace_csim


def randomized(model: keras.Model, seed: int = 0) -> keras.Model:
    rng = np.random.default_rng(seed)
    model.set_weights([np.abs(w) + rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return model


def class_and_momentum(name: str = "trigger") -> keras.Model:
    """Particles and global features in, a class and a momentum out; called with and giving mappings."""
    particles, features = keras.Input((6, 3), name="particles"), keras.Input((5,), name="event")
    each = layers.Dense(4, activation="relu", name="each")(particles)
    both = layers.Concatenate(name="both")(
        [
            layers.GlobalAveragePooling1D(name="mean")(each),
            layers.Dense(4, activation="relu", name="one")(features),
        ]
    )
    hidden = layers.Dense(6, activation="relu", name="hidden")(layers.BatchNormalization(name="norm")(both))
    outputs = {
        "pt": layers.Dense(1, name="pt")(hidden),
        "kind": layers.Dense(3, activation="softmax", name="kind")(hidden),
    }
    return randomized(keras.Model({"particles": particles, "event": features}, outputs, name=name))


def test_several_ports_stand_side_by_side() -> None:
    ports = (Port("a", (2, 3)), Port("b", (2,)))
    rows = np.arange(24.0).reshape(3, 8)
    a, b = apart(ports, rows)
    assert (a.shape, b.shape, row_shape(ports)) == ((3, 2, 3), (3, 2), (8,))
    np.testing.assert_array_equal(b[:, 1], rows[:, 7])
    np.testing.assert_array_equal(side_by_side([a, b]), rows)
    assert columns_of(ports) == [slice(0, 6), slice(6, 8)]
    assert row_shape(ports[:1]) == (2, 3)
    with pytest.raises(DataError, match=r"^a sample has 7 values, not the 8 of a \(2, 3\), b \(2,\)$"):
        apart(ports, rows[:, :7])


def test_names_and_shapes_are_read_in_the_order_of_the_model() -> None:
    network = read_keras(class_and_momentum())
    # a mapping's order is that of its sorted keys
    assert network.inputs == (Port("event", (5,)), Port("particles", (6, 3)))
    assert network.outputs == (Port("kind", (3,)), Port("pt", (1,)))
    assert network.input_shape == (23,)


def test_the_network_survives_its_file(tmp_path: Path) -> None:
    network = read_keras(class_and_momentum())
    found = Network.load(network.save(tmp_path / "network.npz"))
    assert (found.digest, found.inputs, found.outputs) == (network.digest, network.inputs, network.outputs)


def test_the_joined_form_computes_and_is_read_as_the_model(tmp_path: Path) -> None:
    model = class_and_momentum()
    network, joined = read_keras(model), ending_in_logits(model)
    assert (len(joined.inputs), joined.output_shape) == (1, (None, 4))
    joined.save(tmp_path / "joined.keras")
    for form in (joined, load_model(tmp_path / "joined.keras")):
        assert (input_ports(form), n_outputs(form)) == (network.inputs, 4)
        assert [port.name for port in output_ports(form)] == ["kind", "pt"]
        assert read_keras(form).digest == network.digest
    x = np.random.default_rng(1).normal(size=(40, 23)).astype(np.float32)
    event, particles = apart(network.inputs, x)
    given = model({"particles": particles, "event": event})
    logits = predict_logits(joined, x)
    np.testing.assert_allclose(keras.ops.softmax(logits[:, :3]), given["kind"], rtol=1e-5)
    np.testing.assert_allclose(logits[:, 3:], given["pt"], rtol=1e-5)
    for side in (False, True):
        built = build_float(network, side_by_side=side)
        np.testing.assert_allclose(predict_logits(built, x), logits, rtol=1e-5, atol=1e-6)
        assert len(built.outputs) == (1 if side else 2)


def test_a_normalisation_before_an_output_that_is_read_inside_stays() -> None:
    given = keras.Input((4,))
    first = layers.Dense(3, name="first")(given)
    norm = layers.BatchNormalization(name="norm")(first)
    model = randomized(keras.Model(given, [first, norm, layers.Dense(2, name="last")(norm)]))
    network = read_keras(model)
    prepared = prepare_for_quantization(network)
    assert prepared.output_names == ("first", "norm", "last")
    assert prepared["norm"].kind == "scale"
    x = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
    ours, theirs = (predict_logits(build_float(each), x) for each in (prepared, network))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_normalisation_at_an_output_is_folded_and_the_output_follows() -> None:
    given = keras.Input((4,))
    first = layers.BatchNormalization(name="norm")(layers.Dense(3, name="first")(given))
    model = randomized(keras.Model(given, [first, layers.Dense(2, name="last")(given)]))
    prepared = prepare_for_quantization(read_keras(model))
    assert prepared.output_names == ("first", "last")
    x = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
    given_outputs = side_by_side([np.asarray(part) for part in model(x)])
    np.testing.assert_allclose(predict_logits(build_float(prepared), x), given_outputs, rtol=1e-4, atol=1e-5)


def unread() -> keras.Model:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    return keras.Model([a, b], layers.Dense(2)(a), name="mine")


def passed_on() -> keras.Model:
    a = keras.Input((4,), name="a")
    return keras.Model(a, [layers.Dense(2)(a), layers.Identity()(a)], name="mine")


def twice() -> keras.Model:
    a = keras.Input((4,), name="a")
    logits = layers.Dense(2, name="fc")(a)
    return keras.Model(a, [logits, layers.Softmax()(logits)], name="mine")


def probabilities_inside() -> keras.Model:
    a = keras.Input((4,), name="a")
    kind = layers.Dense(2, activation="softmax", name="kind")(a)
    return keras.Model(a, [kind, layers.Dense(1)(kind)], name="mine")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (unread, "the model 'mine' never reads its input 'b'; leave it out"),
        (passed_on, "output 2 of the model 'mine' is its input 'features' itself; leave it out"),
        (
            twice,
            "outputs 1 and 2 of the model 'mine' are the same values, those of 'fc' (a softmax or sigmoid at the end is left "
            "out); leave one of them out",
        ),
    ],
)
def test_ends_that_no_hardware_has_are_refused(make: Callable[[], keras.Model], message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        read_keras(make())
    assert str(caught.value) == message


def test_probabilities_that_are_read_inside_are_no_end() -> None:
    with pytest.raises(
        ConversionError, match="'kind' has the activation 'softmax', is an output and is read by 'dense"
    ):
        read_keras(probabilities_inside())


def fixed(rng: np.random.Generator, signed: bool = True) -> FixedPoint:
    integer = int(rng.integers(1, 3))
    return FixedPoint(int(rng.integers(4, 8)) + integer, integer + signed, signed, "RND_CONV", "SAT")


def formats_of(network: Network, rng: np.random.Generator) -> PrecisionMap:
    formats = {}
    for layer in network.layers:
        if layer.row.role == "product":
            formats[layer.name] = LayerPrecision(fixed(rng), fixed(rng) if "bias" in layer.weights else None)
        elif layer.row.role == "point" or (layer.kind == "input" and len(network.inputs) > 1):
            formats[layer.name] = LayerPrecision(result=fixed(rng, layer.row.signed))
    return PrecisionMap(fixed(rng) if len(network.inputs) == 1 else None, formats)


def random_network(rng: np.random.Generator) -> Network:
    """Vectors in, layers that read earlier values at random, some of them outputs."""
    sizes, nodes = {}, []
    for number in range(int(rng.integers(1, 4))):
        sizes[f"in{number}"] = int(rng.integers(2, 6))
        nodes.append(LayerSpec(f"in{number}", "input", (), {"shape": [sizes[f"in{number}"]]}))
    unread = list(sizes)
    for number in range(int(rng.integers(3, 8))):
        # an unread one first, so that nothing is left over but outputs
        source = unread[0] if unread and rng.random() < 0.7 else str(rng.choice(list(sizes)))
        alike = [name for name in sizes if sizes[name] == sizes[source] and name != source]
        kind = str(
            rng.choice(["dense", "dense", "relu", "scale", "concatenate", *(["add"] if alike else [])])
        )
        inputs: tuple[str, ...] = (source,)
        weights, config, size = {}, {}, sizes[source]
        if kind == "dense":
            size = int(rng.integers(2, 6))
            weights = {"kernel": rng.normal(0, 0.6, (sizes[source], size)), "bias": rng.normal(0, 0.6, size)}
        elif kind == "scale":
            weights = {"kernel": rng.normal(1, 0.3, size), "bias": rng.normal(0, 0.3, size)}
        elif kind in ("concatenate", "add"):
            other = str(rng.choice(alike if kind == "add" else list(sizes)))
            inputs = (source, other)
            size, config = (size + sizes[other], {"axis": -1}) if kind == "concatenate" else (size, {})
        name = f"n{number}"
        sizes[name] = size
        nodes.append(LayerSpec(name, kind, inputs, config, weights))
        unread = [other for other in unread if other not in inputs] + [name]
    for number, name in enumerate(name for name in list(unread) if name.startswith("in")):
        kernel = rng.normal(0, 0.6, (sizes[name], 2))
        nodes.append(LayerSpec(f"last{number}", "dense", (name,), weights={"kernel": kernel}))
        unread = [other for other in unread if other != name] + [f"last{number}"]
    inside = [
        node.name for node in nodes if node.kind in ("dense", "relu", "scale") and node.name not in unread
    ]
    ends = [*unread, *(name for name in inside if rng.random() < 0.3)]
    ends = [ends[index] for index in rng.permutation(len(ends))]
    last = nodes[-1].name
    return Network(tuple(nodes), ends=() if ends == [last] else tuple(ends))


def converted(network: Network, precision: PrecisionMap, folder: Path, io_type: str = "io_parallel"):
    target = Target(io_type=io_type)  # type: ignore[arg-type]
    on_grid, formats = hardware_form(network, precision)
    return convert_graph(build_float(on_grid), formats, target, HardwareChoices(), folder), target


def on_grid(network: Network, precision: PrecisionMap, n: int, rng: np.random.Generator) -> np.ndarray:
    x = rng.normal(0, 2, (n, *network.input_shape))
    return precision.quantize_inputs(network.inputs, x).astype(np.float32)


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("seed", range(12))
def test_random_networks_are_their_emulation(seed: int, io_type: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    network = prepare_for_quantization(random_network(rng))
    precision = formats_of(network, rng)
    graph, _ = converted(network, precision, tmp_path, io_type)
    x = on_grid(network, precision, 200, rng)
    np.testing.assert_array_equal(
        predict_logits(build_quantized(network, precision), x), Emulator.of(read_graph(graph)).outputs(x)
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 20))
def test_random_networks_are_their_cpp_and_rtl(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    network = prepare_for_quantization(random_network(rng))
    precision = formats_of(network, rng)
    graph, target = converted(network, precision, tmp_path / "hls")
    x = on_grid(network, precision, 500, rng)
    golden = predict_logits(build_quantized(network, precision), x)
    project = write_project(graph, tmp_path / "hls", target, vectors=x[:20], golden=golden[:20])
    rungs = ["emulation", "csim", "interpreter", *(["rtl"] if seed == 12 else [])]
    table = compare(project, x, golden, rungs=ladder_rungs(rungs))
    table.require_agreement()
    table.require_run([rung.name for rung in table.rungs])


class Converted:
    """A prepared network of two inputs and outputs with formats, its project and what must come out."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(4)
        self.network = prepare_for_quantization(read_keras(class_and_momentum()))
        self.precision = formats_of(self.network, rng)
        graph, target = converted(self.network, self.precision, folder)
        self.x = on_grid(self.network, self.precision, 60, rng)
        self.student = build_quantized(self.network, self.precision)
        self.golden = predict_logits(self.student, self.x)
        self.project = write_project(graph, folder, target, vectors=self.x[:20], golden=self.golden[:20])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return Converted(tmp_path_factory.mktemp("ports") / "hls")


def test_a_project_counts_all_its_ports(both: Converted) -> None:
    assert (both.project.input_shape, both.project.n_inputs, both.project.n_outputs) == ((23,), 23, 4)
    graph = both.project.graph()
    assert graph.input_ports == both.network.inputs
    assert [graph[port.name].result for port in graph.input_ports] == [
        both.precision.of_input(port.name) for port in both.network.inputs
    ]


def test_the_ladder_names_the_output_that_differs(both: Converted) -> None:
    wrong = both.golden.copy()
    wrong[[7, 9], 3] += both.project.graph()["pt"].result.step
    table = compare(both.project, both.x, wrong, rungs=ladder_rungs(["emulation"]))
    (rung,) = table.rungs
    assert (rung.outputs, rung.mismatches, rung.largest_lsb) == ({"kind": 0, "pt": 2}, 2, 1.0)
    with pytest.raises(VerificationError) as caught:
        table.require_agreement()
    assert str(caught.value) == (
        "emulation and QKeras in output 'pt' disagree on 2 of 60 samples: first at index 7, largest difference 1 LSB"
    )
    assert type(table).from_dict(table.to_dict()) == table


def test_each_input_must_be_on_its_own_grid(both: Converted) -> None:
    x = both.x.copy()
    x[5, -1] += both.precision.of_input("particles").step / 2
    with pytest.raises(
        DataError, match=r"^1 of 60 input vectors are off the input grid of 'particles' .*, first at index 5"
    ):
        compare(both.project, x, both.golden, rungs=ladder_rungs(["emulation"]))


@pytest.mark.slow
def test_the_whole_ladder_of_two_inputs_and_outputs(both: Converted) -> None:
    rungs = ladder_rungs(["emulation", "csim", "interpreter", "rtl"])
    table = verify_project(both.project.folder, both.x, both.golden, rungs=rungs)
    table.require_agreement()
    table.require_run([rung.name for rung in table.rungs])


def test_the_doctor_finds_the_layer_of_one_output(both: Converted) -> None:
    graph = both.project.graph()
    names = [node.name for node in graph]
    reference = trace_layers(both.student, both.x, names)
    assert {"event", "particles", "kind", "pt"} <= set(reference.values)
    assert diagnose(graph, both.x, reference) is None
    assert diagnose_outputs(graph, both.x, both.golden) is None
    wrong = both.golden.copy()
    wrong[3, 3] += 1
    found = diagnose_outputs(graph, both.x, wrong)
    assert found is not None
    assert (found.evidence["seen_in"], found.mismatches, found.first_index) == ("pt", 1, 3)


@pytest.mark.slow
def test_the_cpp_is_traced_layer_by_layer(both: Converted) -> None:
    traced = trace_csim(both.project, both.x)
    emulated = Emulator.of(both.project.graph()).run(both.x, trace=True)
    assert {"each", "one", "kind", "pt"} <= set(traced)
    for name, values in traced.items():
        np.testing.assert_array_equal(values, emulated[name], err_msg=name)


def read_inside() -> Network:
    """An output whose values another layer multiplies with zeros alone."""
    rng = np.random.default_rng(0)

    def dense(name: str, source: str, kernel: np.ndarray) -> LayerSpec:
        return LayerSpec(
            name, "dense", (source,), weights={"kernel": kernel, "bias": np.zeros(kernel.shape[-1])}
        )

    given = LayerSpec("x", "input", (), {"shape": [4]})
    first, hidden = dense("first", "x", rng.normal(size=(4, 5))), dense("hidden", "point", np.zeros((5, 6)))
    layers_ = (
        given,
        first,
        LayerSpec("point", "relu", ("first",)),
        hidden,
        LayerSpec("relu", "relu", ("hidden",)),
    )
    return Network((*layers_, dense("last", "relu", rng.normal(size=(6, 2)))), ends=("last", "point"))


def test_neurons_of_an_output_stay_and_cost_though_nothing_inside_needs_them() -> None:
    network = read_inside()
    removable, kept = removable_units(network)
    assert (set(removable), kept) == ({"hidden"}, {"first": SkipReason.OUTPUT, "last": SkipReason.OUTPUT})
    smaller, removed = without_dead_units(network)
    assert removed == {"hidden": 5}
    x = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    np.testing.assert_array_equal(*(predict_logits(build_float(each), x) for each in (smaller, network)))
    alone = replace(network, ends=())
    assert set(removable_units(alone)[0]) == {"first", "hidden"}
    precision = formats_of(network, np.random.default_rng(2))
    kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
    luts, less = (luts_by_layer(layer_shapes(each), precision, kernels) for each in (network, alone))
    assert luts["first"] > less["first"] == 0


def qkeras_model() -> keras.Model:
    from qkeras import QActivation, QDense, quantized_bits, quantized_relu

    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    wide, narrow = quantized_bits(7, 2, alpha=1), quantized_bits(5, 1, alpha=1)
    bits = {
        "kernel_quantizer": quantized_bits(5, 0, alpha=1),
        "bias_quantizer": quantized_bits(5, 0, alpha=1),
    }
    both = layers.Concatenate()([QActivation(wide, name="qa")(a), QActivation(narrow, name="qb")(b)])
    hidden = QActivation(quantized_relu(5, 2), name="act")(QDense(5, name="hidden", **bits)(both))
    ends = [
        layers.Softmax(name="probability")(QDense(3, name="kind", **bits)(hidden)),
        QDense(1, name="pt", **bits)(hidden),
    ]
    return randomized(keras.Model([a, b], ends, name="mine"))


def test_a_qkeras_model_has_a_format_for_each_input() -> None:
    read = read_qkeras(qkeras_model())
    network, precision = read.network, read.precision
    assert [str(precision.of_input(name)) for name in "ab"] == [
        "fixed<7,3,RND_CONV,SAT,0>",
        "fixed<5,2,RND_CONV,SAT,0>",
    ]
    assert network.output_names == ("kind", "pt")


def test_a_map_of_several_inputs_survives_its_file_and_names_what_is_missing(tmp_path: Path) -> None:
    read = read_qkeras(qkeras_model())
    assert read.precision.input is None
    assert PrecisionMap.load(read.precision.save(tmp_path / "map.json")) == read.precision
    without = PrecisionMap(None, {name: own for name, own in read.precision.layers.items() if name != "b"})
    with pytest.raises(
        SettingsError, match=r"layers\.b\.result: missing; give the format of the values of this input"
    ):
        build_quantized(read.network, without)


def test_an_input_without_a_quantizer_is_named() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    from qkeras import QActivation, QDense, quantized_bits

    kernel = quantized_bits(5, 0, alpha=1)
    both = layers.Concatenate()([QActivation(quantized_bits(5, 1, alpha=1))(a), b])
    model = keras.Model([a, b], QDense(2, use_bias=False, kernel_quantizer=kernel)(both), name="mine")
    with pytest.raises(ConversionError, match=r"^the input 'b' of 'mine' is not quantized; put QActivation"):
        read_qkeras(model)
    given = FixedPoint.parse("fixed<6,3,RND_CONV,SAT>")
    with pytest.raises(
        ConversionError, match=r"^the input 'a' of 'mine' is quantized to .* by the model itself"
    ):
        read_qkeras(model, input_format=given)
