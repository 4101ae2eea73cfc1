"""A test bench in Verilog-2001 with golden vectors, for any simulator, and the script that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codesign.core.files import write_text
from codesign.core.target import Interface
from codesign.emulation import Emulator
from codesign.errors import DataError
from codesign.hls.graph import Graph
from codesign.rtl.packing import Port, flat_inputs, pack_ports

BENCH = "testbench"
VECTORS = 64
"""How many vectors are drawn where none are given."""

MOST_VECTORS = 1000

_RUN = r"""#!/bin/sh
# sh run.sh [icarus|verilator|xsim|questa]: simulates the test bench; ends with 0 if every vector is right.
# VERILATOR_FLAGS: what an installation of Verilator needs beside. Nothing is left in this folder.
set -eu
simulator=${1:-icarus}
case "$simulator" in
icarus | verilator | xsim | questa) ;;
*)
    echo "there is no simulator '$simulator' here; choose icarus, verilator, xsim or questa" >&2
    exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT INT TERM
cp "$here"/*.hex "$build"
cd "$build"
run() {
    case "$simulator" in
    icarus)
        iverilog -g2001 -s @TOP@_tb -o tb.vvp "$here"/../src/*.v "$here/@TOP@_tb.v" && vvp -N tb.vvp ;;
    verilator)
        verilator --binary --timing -Wno-fatal -Wno-lint -Wno-style ${VERILATOR_FLAGS:-} --top-module @TOP@_tb \
            --Mdir obj -o tb "$here"/../src/*.v "$here/@TOP@_tb.v" > build.log 2>&1 || { cat build.log; return 1; }
        obj/tb ;;
    xsim)
        xvlog "$here"/../src/*.v "$here/@TOP@_tb.v" && xelab @TOP@_tb -s tb && xsim tb -R ;;
    questa)
        vlib work && vlog "$here"/../src/*.v "$here/@TOP@_tb.v" && vsim -c -do "run -all; quit -f" @TOP@_tb ;;
    esac
}
code=0
run > out.log 2>&1 || code=1
cat out.log
[ "$code" -eq 0 ] && grep -q 'PASS: ' out.log
"""


def drawn_vectors(graph: Graph, count: int = VECTORS, seed: int = 0) -> list[np.ndarray]:
    """Draw inputs on the grids of a graph, its smallest and largest values first.

    Returns
    -------
    list of np.ndarray
        For each input float64 `(count, *shape)`.
    """
    rng = np.random.default_rng(seed)
    arrays = []
    for name in graph.inputs:
        precision, shape = graph[name].result, graph[name].output_shape
        low, high = precision.code_limits
        step = precision.step
        tables = [len(n.weights["embeddings"]) for n in graph if n.kind == "embedding" and name in n.inputs]
        if tables:  # an index has a row
            low, high = 0, min(high, int((min(tables) - 1) / step))
        codes = rng.integers(low, high, (count, *shape), endpoint=True)
        codes[0], codes[min(1, count - 1)] = low, high
        arrays.append(codes * step)
    return arrays


def write_bench(
    folder: Path,
    graph: Graph,
    top: str,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    interface: Interface,
    latency_cycles: int,
    clock_period_ns: float,
    vectors: np.ndarray | Sequence[np.ndarray] | None,
) -> None:
    """Write the test bench, its vectors and `run.sh`.

    The golden outputs are the emulation's, which computes what the C++ does and knows nothing of the Verilog.

    Parameters
    ----------
    folder
        The RTL project.
    graph
        The network.
    top, inputs, outputs, interface, latency_cycles, clock_period_ns
        Of the Verilog.
    vectors
        Inputs as for `codesign.rtl.simulate`, of which at most 1000 are taken; by default they are drawn.
    """
    given = drawn_vectors(graph) if vectors is None else vectors
    if isinstance(given, np.ndarray):
        values = flat_inputs(inputs, given[:MOST_VECTORS])
    else:
        values = flat_inputs(inputs, [np.asarray(array)[:MOST_VECTORS] for array in given])
    if not len(values):
        raise DataError("a test bench needs at least one vector")
    golden = Emulator.of(graph).outputs(values)
    home = folder / BENCH
    write_text(home / "inputs.hex", _hex(values, inputs))
    write_text(home / "outputs.hex", _hex(golden, outputs))
    text = _bench(top, inputs, outputs, interface, latency_cycles, clock_period_ns, len(values))
    write_text(home / f"{top}_tb.v", text)
    write_text(home / "run.sh", _RUN.replace("@TOP@", top)).chmod(0o755)


def _hex(values: np.ndarray, ports: Sequence[Port]) -> str:
    """One number a vector, all ports side by side, the first lowest."""
    words = pack_ports(values, ports)
    digits = -(-sum(port.width for port in ports) // 4)
    lines = []
    for row in words.tolist():
        number = at = start = 0
        for port in ports:
            for place in range(port.words):
                number |= row[at + place] << (start + 32 * place)
            at += port.words
            start += port.width
        lines.append(f"{number:0{digits}x}\n")
    return "".join(lines)


def _bench(
    top: str,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    interface: Interface,
    latency: int,
    period_ns: float,
    count: int,
) -> str:
    n_in, n_out = (sum(port.width for port in ports) for ports in (inputs, outputs))
    connections = [f"        .{name}({name})" for name, _, _ in interface.controls()]
    for ports, bus in ((inputs, "in_bus"), (outputs, "out_bus")):
        at = 0
        for port in ports:
            if port.width:
                connections.append(f"        .{port.signal}({bus}[{at + port.width - 1}:{at}])")
            at += port.width
    signals = [
        f"    {'wire' if way == 'output' else 'reg'} {name}{'' if way == 'output' else ' = 0'};"
        for name, way, _ in interface.controls()
    ]
    body = _stream(interface) if interface.has_valid else _ROW
    reset = interface.reset_signal
    active, idle = ("0", "1") if interface.reset == "low" else ("1", "0")
    begin = [
        f"        {reset} = {active};",
        "        repeat (LATENCY + 2) @(negedge clk);",
        f"        {reset} = {idle};",
    ]
    lines = [
        f"// Streams the vectors of inputs.hex through {top}, compares with outputs.hex and prints PASS or FAIL.",
        "`timescale 1 ns / 1 ps",
        "",
        f"module {top}_tb;",
        f"    localparam VECTORS = {count};",
        f"    localparam LATENCY = {latency};",
        f"    reg [{n_in - 1}:0] inputs [0:VECTORS-1];",
        f"    reg [{n_out - 1}:0] golden [0:VECTORS-1];",
        f"    reg [{n_in - 1}:0] in_bus = 0;",
        f"    wire [{n_out - 1}:0] out_bus;",
        *signals,
        "    integer cycle, sent, received, wrong;",
        "",
        f"    {top} dut (",
        ",\n".join(connections),
        "    );",
        "",
        f"    always #{period_ns / 2:.3f} clk = ~clk;",
        "",
        "    task check;  // the result that stands at the outputs",
        "        begin",
        "            if (received >= VECTORS) begin",
        "                wrong = wrong + 1;",
        '                $display("a result too many in cycle %0d", cycle);',
        "            end else if (out_bus !== golden[received]) begin",
        "                wrong = wrong + 1;",
        '                if (wrong <= 5) $display("vector %0d: %h, not %h", received, out_bus, golden[received]);',
        "            end",
        "            received = received + 1;",
        "        end",
        "    endtask",
        "",
        "    initial begin",
        '        $readmemh("inputs.hex", inputs);',
        '        $readmemh("outputs.hex", golden);',
        "        sent = 0; received = 0; wrong = 0; cycle = 0;",
        *(begin if reset else []),
        body,
        '        if (wrong == 0 && received == VECTORS) $display("PASS: %0d vectors, 0 mismatches", VECTORS);',
        '        else $display("FAIL: %0d of %0d vectors came out, %0d are wrong", received, VECTORS, wrong);',
        "        $finish;",
        "    end",
        "endmodule",
        "",
    ]
    if interface.has_valid:
        lines.insert(
            lines.index("    integer cycle, sent, received, wrong;"),
            "    reg [30:0] random = 1;\n    reg waits = 0;",
        )
    return "\n".join(lines)


# what is driven at a falling edge is taken at the rising edge after it
_ROW = """\
        for (cycle = 0; cycle < VECTORS + LATENCY; cycle = cycle + 1) begin
            @(negedge clk);
            if (cycle >= LATENCY) check;
            if (cycle < VECTORS) in_bus = inputs[cycle];
            else in_bus = ~in_bus;  // what follows the last vector must not matter
        end"""


def _stream(interface: Interface) -> str:
    """Vectors with gaps between, and results that are taken late, both by a shift register's bits."""
    ready = interface.control == "ready"
    choose = "in_valid = sent < VECTORS && random[0];"
    lines = [
        "        for (cycle = 0; cycle < 8 * (VECTORS + LATENCY) + 64; cycle = cycle + 1) begin",
        "            @(negedge clk);",
        "            random = {random[29:0], random[30] ^ random[27]};",
        f"            if (!waits) {choose}  // an offer stands until it is taken"
        if ready
        else f"            {choose}",
        "            if (in_valid) in_bus = inputs[sent];",
        "            else in_bus = ~in_bus;",
        *(["            out_ready = random[5] | random[9];"] if ready else []),
        "            #0.010;  // for the answers of this half cycle",
        f"            if (out_valid === 1'b1{' && out_ready' if ready else ''}) check;",
        *(["            waits = in_valid && !in_ready;"] if ready else []),
        f"            if (in_valid{' && in_ready' if ready else ''}) sent = sent + 1;",
        "        end",
    ]
    return "\n".join(lines)
