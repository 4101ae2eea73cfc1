"""The border of the Verilog: a signal for each tensor, the control signals asked for, and the module that joins them.

alkaid writes one input vector and one output vector of the bits that are alive, which change with the weights. The top
module written here has a signal for each tensor, in which every value has as many bits as its type, and knows nothing of
the weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from codesign.core.target import Interface
from codesign.errors import ConversionError
from codesign.rtl.packing import Field, Port, bits_of

CORE = "core"
_RESERVED = ("clk", "rst", "rst_n", "in_valid", "in_ready", "out_valid", "out_ready")
_CLOCKED = "    always @(posedge clk) begin\n"
_CLOCK_PORT = "    input clk,\n"


def signal_names(inputs: Sequence[str], outputs: Sequence[str]) -> dict[tuple[str, str], str]:
    """Name the signals of tensors: ``in_`` or ``out_`` and the tensor's name, with what Verilog does not take as ``_``.

    Returns
    -------
    dict
        By side (``input``, ``output``) and tensor; different also where capitals do not count, as in VHDL.
    """
    names: dict[tuple[str, str], str] = {}
    taken = set(_RESERVED)
    for side, prefix, tensors in (("input", "in", inputs), ("output", "out", outputs)):
        for tensor in tensors:
            clean = re.sub(r"[^A-Za-z0-9]+", "_", tensor).strip("_") or "data"
            name, number = f"{prefix}_{clean}", 1
            while name.lower() in taken:
                number += 1
                name = f"{prefix}_{clean}_{number}"
            taken.add(name.lower())
            names[side, tensor] = name
    return names


def core_module(text: str, interface: Interface) -> str:
    """Give alkaid's pipeline the clock enable or the reset that the interface needs.

    Raises
    ------
    ConversionError
        It is not written as alkaid 0.8 writes it.
    """
    if text.count(_CLOCKED) != 1 or text.count(_CLOCK_PORT) != 1:
        raise ConversionError("alkaid wrote a pipeline of an unknown form; pip install 'alkaid>=0.8,<0.9'")
    if interface.control == "ready":
        text = text.replace(_CLOCK_PORT, f"{_CLOCK_PORT}    input ce,\n")
        return text.replace(_CLOCKED, "    always @(posedge clk) if (ce) begin\n")
    if interface.reset_signal and not interface.has_valid:
        registers = re.findall(r"^ *(?:output )?reg \[\d+:\d+\] (\w+)", text, re.MULTILINE)
        cleared = "".join(f"        {name} <= 0;\n" for name in registers)
        text = text.replace(_CLOCK_PORT, f"{_CLOCK_PORT}    input rst,\n")
        return text.replace(
            _CLOCKED, f"    always @(posedge clk) if (rst) begin\n{cleared}    end else begin\n"
        )
    return text


def top_module(
    top: str, inputs: Sequence[Port], outputs: Sequence[Port], interface: Interface, latency_cycles: int
) -> str:
    """Write the module that firmware instantiates.

    Parameters
    ----------
    top
        Its name; the pipeline is ``<top>_core``.
    inputs, outputs
        The tensors with their signals.
    interface
        The control signals.
    latency_cycles
        Of the pipeline, which the valid bits go along.
    """
    ports = [f"    {way} wire {name}" for name, way, _ in interface.controls()]
    for way, side in (("input", inputs), ("output", outputs)):
        ports += [f"    {way} wire [{port.width - 1}:0] {port.signal}" for port in side if port.width]
    n_in, n_out = (bits_of([field for port in side for field in port.fields]) for side in (inputs, outputs))
    lines = [
        f"    wire [{n_in - 1}:0] {CORE}_inp;" if n_in else "",
        f"    wire [{n_out - 1}:0] {CORE}_out;",
        *_control_lines(interface, latency_cycles),
        *_into_core(inputs),
        *_out_of_core(outputs),
        "",
        f"    {top}_{CORE} u_{CORE} (",
        *_core_connections(interface),
        f"        .model_inp({CORE}_inp),",
        f"        .model_out({CORE}_out)",
        "    );",
    ]
    body = "\n".join(line for line in lines)
    return (
        "// Written by codesign; README.md has the data sheet.\n`timescale 1 ns / 1 ps\n\n"
        f"module {top} (\n" + ",\n".join(ports) + f"\n);\n\n{body}\n\nendmodule\n"
    )


def _core_connections(interface: Interface) -> list[str]:
    lines = ["        .clk(clk),"]
    if interface.control == "ready":
        lines.append("        .ce(advance),")
    elif interface.reset_signal and not interface.has_valid:
        lines.append(f"        .rst({_reset(interface)}),")
    return lines


def _reset(interface: Interface) -> str:
    return "~rst_n" if interface.reset == "low" else "rst"


def _control_lines(interface: Interface, latency_cycles: int) -> list[str]:
    """The valid bits, one for each register of the pipeline; all registers wait together."""
    if not interface.has_valid:
        return []
    last = latency_cycles - 1
    step = f"valid <= {{valid[{last - 1}:0], in_valid}};" if last else "valid <= in_valid;"
    move = f"if (advance) {step}" if interface.control == "ready" else step
    clear = f"if ({_reset(interface)}) valid <= 0; else " if interface.reset_signal else ""
    lines = [f"    reg [{last}:0] valid = 0;", f"    assign out_valid = valid[{last}];"]
    if interface.control == "ready":
        lines += ["    wire advance = out_ready | ~valid[" + f"{last}];", "    assign in_ready = advance;"]
    return [*lines, f"    always @(posedge clk) {clear}{move}", ""]


Bit = tuple[str, int] | None
"""A bit of a signal; ``None`` for zero."""


def _into_core(ports: Sequence[Port]) -> list[str]:
    bits: list[Bit] = []
    for port in ports:
        starts = _starts(port.layout)
        for field, start, lies in zip(port.fields, starts, port.layout, strict=True):
            bits += [_bit(port.signal, start, lies, place - field.fraction) for place in range(field.width)]
    return _assignments(f"{CORE}_inp", bits)


def _out_of_core(ports: Sequence[Port]) -> list[str]:
    lines = []
    start = 0
    for port in ports:
        bits: list[Bit] = []
        for field, lies in zip(port.fields, port.layout, strict=True):
            bits += [_bit(f"{CORE}_out", start, field, place - lies.fraction) for place in range(lies.width)]
            start += field.width
        lines += _assignments(port.signal, bits)
    return lines


def _starts(layout: Sequence[Field]) -> list[int]:
    starts, at = [], 0
    for field in layout:
        starts.append(at)
        at += field.width
    return starts


def _bit(signal: str, start: int, field: Field, exponent: int) -> Bit:
    """The bit worth ``2**exponent`` of a value: beyond its highest one its sign, below its lowest one zero."""
    place = exponent + field.fraction
    if place < 0 or not field.width:
        return None
    if place >= field.width:
        return (signal, start + field.width - 1) if field.signed else None
    return signal, start + place


def _assignments(target: str, bits: Sequence[Bit]) -> list[str]:
    """Assign bits in as few slices as they make."""
    lines = []
    at = 0
    while at < len(bits):
        first, count = bits[at], 1
        if first is None:
            while at + count < len(bits) and bits[at + count] is None:
                count += 1
            value = f"{count}'b0"
        else:
            signal, place = first
            while at + count < len(bits) and bits[at + count] == (signal, place + count):
                count += 1
            value = f"{signal}[{place + count - 1}:{place}]"
            if count == 1:
                while at + count < len(bits) and bits[at + count] == first:
                    count += 1
                value = f"{{{count}{{{signal}[{place}]}}}}" if count > 1 else f"{signal}[{place}]"
        lines.append(f"    assign {target}[{at + count - 1}:{at}] = {value};")
        at += count
    return lines
