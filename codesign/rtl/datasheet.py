"""What a firmware engineer needs to use the Verilog: signals, bit layout, timing and files, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codesign.core.files import write_json, write_text
from codesign.core.target import Interface
from codesign.core.text_table import counted
from codesign.rtl.packing import Port

DATASHEET = "datasheet.json"
README = "README.md"
PORTS = "ports"

_SHOWN = 8
"""Values of a port that the README lists; the table of the port has all."""


def write_datasheet(
    folder: Path,
    figures: Mapping[str, Any],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    interface: Interface,
) -> None:
    """Write README, JSON and a table for each port.

    Parameters
    ----------
    folder
        The RTL project.
    figures
        Its top, part, clock, latency and estimates.
    inputs, outputs
        The tensors with their signals.
    interface
        The control signals.
    """
    sides = (("input", inputs), ("output", outputs))
    signals = [
        {"name": name, "direction": way, "width": 1, "meaning": what}
        for name, way, what in interface.controls()
    ]
    tensors = []
    for way, ports in sides:
        for port in ports:
            tensors.append(_tensor(way, port))
            if port.width:
                signals.append(
                    {
                        "name": port.signal,
                        "direction": way,
                        "width": port.width,
                        "meaning": f"tensor {port.name}",
                    }
                )
    names = ("top", "part", "clock_period_ns", "latency_cycles", "ii", "stage_delay_ns", "estimated_lut")
    sheet = {
        **{name: figures[name] for name in (*names, "register_bits")},
        "latency_ns": figures["latency_cycles"] * figures["clock_period_ns"],
        "ports": interface.ports,
        "control": interface.control,
        "reset": interface.reset,
        "outputs": interface.outputs,
        "signals": signals,
        "tensors": tensors,
    }
    write_json(folder / DATASHEET, sheet)
    for tensor in tensors:
        rows = [",".join(map(str, row)) for row in _rows(tensor)]
        write_text(
            folder / PORTS / f"{tensor['signal']}.csv",
            "value,index,lsb,msb,used_lsb,used_msb\n" + "\n".join(rows) + "\n",
        )
    write_text(folder / README, _readme(sheet, interface))


def _tensor(way: str, port: Port) -> dict[str, Any]:
    """A tensor at the border: its format and where each of its values lies."""
    values: list[dict[str, Any]] = []
    at = 0
    for place, (field, lies) in enumerate(zip(port.fields, port.layout, strict=True)):
        low = lies.fraction - field.fraction  # of the used bits, within the value's own
        used = None
        if field.width:
            used = [at + max(low, 0), at + min(low + field.width, lies.width) - 1]
        values.append(
            {
                "index": [int(n) for n in np.unravel_index(place, port.shape)],
                "bits": [at, at + lies.width - 1] if lies.width else None,
                "fraction_bits": lies.fraction,
                "signed": lies.signed,
                "used_bits": used,
            }
        )
        at += lies.width
    return {
        "signal": port.signal,
        "direction": way,
        "tensor": port.name,
        "shape": list(port.shape),
        "type": str(port.precision),
        "width": port.width,
        "bits_per_value": None if port.is_packed else port.precision.width,
        "fraction_bits": port.precision.fractional_bits,
        "signed": port.precision.signed,
        "values": values,
    }


def _rows(tensor: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for place, value in enumerate(tensor["values"]):
        bits, used = value["bits"] or ("", ""), value["used_bits"] or ("", "")
        yield (place, " ".join(map(str, value["index"])), *bits, *used)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def _readme(sheet: Mapping[str, Any], interface: Interface) -> str:
    top = sheet["top"]
    facts = [
        ("module", f"`{top}` in `src/{top}.v`; all modules and files begin with `{top}`"),
        ("part", sheet["part"]),
        ("clock", f"{sheet['clock_period_ns']:g} ns"),
        ("latency", f"{counted(sheet['latency_cycles'], 'cycle')}, {sheet['latency_ns']:g} ns"),
        ("initiation interval", "1: a new sample each cycle"),
        ("longest stage, estimated", f"{sheet['stage_delay_ns']:.2f} ns before routing"),
        ("registers", f"{sheet['register_bits']:,} bits before optimisation"),
        ("LUTs, estimated", f"{sheet['estimated_lut']:,.0f}"),
    ]
    signals = [(f"`{s['name']}`", s["direction"], s["width"], s["meaning"]) for s in sheet["signals"]]
    return "\n".join(
        [
            f"# {top}: data sheet",
            "",
            "Pipelined Verilog of a quantized network, written by codesign. `datasheet.json` says the same to programs.",
            "",
            _table(("", ""), facts),
            "## Signals",
            "",
            _table(("signal", "direction", "bits", "meaning"), signals),
            *(f"{line}\n" for line in _timing(sheet, interface)),
            "## Bit layout",
            "",
            "The values of a tensor lie in row-major order, the first one in the lowest bits. A value is a whole number `q`, in",
            "two's complement where the type is signed, and means `q * 2**-f` with `f` fraction bits.",
            "",
            *(_tensor_text(tensor) for tensor in sheet["tensors"]),
            "## Instance",
            "",
            "```verilog",
            f"{top} u_{top} (",
            ",\n".join(f"    .{s['name']}({s['name']})" for s in sheet["signals"]),
            ");",
            "```",
            "",
            "## Files",
            "",
            _table(("", ""), _files(top, sheet["tensors"])),
        ]
    )


def _tensor_text(tensor: Mapping[str, Any]) -> str:
    shape = " x ".join(map(str, tensor["shape"]))
    count = len(tensor["values"])
    title = (
        f"### `{tensor['signal']}`: {tensor['direction']} `{tensor['tensor']}`, {shape}, `{tensor['type']}`\n"
    )
    unused = sum(value["used_bits"] is None for value in tensor["values"])
    if tensor["bits_per_value"] is None:
        what = f"{counted(tensor['width'], 'bit')}: of every value only those that the logic has; they change with the weights."
    else:
        b = tensor["bits_per_value"]
        what = (
            f"{count} x {b} = {counted(tensor['width'], 'bit')}: value `i` in bits `{b}*i + {b - 1}` to `{b}*i`, "
            f"{'signed' if tensor['signed'] else 'unsigned'}, {counted(tensor['fraction_bits'], 'fraction bit')}."
        )
    if unused:
        what += f" {unused} of the values {'are not read' if tensor['direction'] == 'input' else 'are always zero'}."
    rows = [(value, index, f"{msb}:{lsb}" if lsb != "" else "none", f"{used_msb}:{used_lsb}" if used_lsb != "" else "none")
            for value, index, lsb, msb, used_lsb, used_msb in list(_rows(tensor))[:_SHOWN]]  # fmt: skip
    rest = (
        f"All {count} are in `{PORTS}/{tensor['signal']}.csv`.\n"
        if count > _SHOWN
        else f"The same is in `{PORTS}/{tensor['signal']}.csv`.\n"
    )
    return f"{title}\n{what}\n\n" + _table(("value", "index", "bits", "used"), rows) + "\n" + rest


def _timing(sheet: Mapping[str, Any], interface: Interface) -> list[str]:
    latency = sheet["latency_cycles"]
    if interface.control == "none":
        lines = [
            f"A sample that stands at the inputs at a rising edge of `clk` is taken; counting that edge as the first, its result "
            f"stands at the outputs from edge {latency} to the next one. There is no valid bit: count the cycles."
        ]
        if interface.reset_signal:
            lines.append(
                f"After a reset of {counted(latency, 'cycle')} or more the first result is that of the first sample."
            )
        return lines
    lines = [
        f"`in_valid` goes along with its sample: counting the edge that takes it as the first, `out_valid` is high from edge "
        f"{latency} to the next one."
    ]
    if interface.control == "ready":
        lines.append(
            "While `out_valid` is high and `out_ready` low, the whole pipeline waits and `in_ready` is low; the signals keep "
            "the rules of AXI4-Stream. `in_ready` follows `out_ready` without a register."
        )
    if not interface.reset_signal:
        lines.append("There is no reset: the valid bits are 0 when the device is configured.")
    return lines


def _files(top: str, tensors: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    tables = ", ".join(f"`{PORTS}/{tensor['signal']}.csv`" for tensor in tensors)
    return [
        (f"`src/{top}.v`", "the module to instantiate"),
        (f"`src/{top}_*.v`", "what it is made of; no module has the name of another network's"),
        (f"`src/{top}.xdc`", "the constraints for synthesis out of context"),
        ("`vivado.tcl`", "packages an IP: `vivado -mode batch -source vivado.tcl`, into `ip/`"),
        (
            "`testbench/`",
            "a self-checking test bench with golden vectors: `sh run.sh icarus` (or verilator, xsim, questa)",
        ),
        (tables, "where each value lies: its bits, and those that the logic has"),
        (
            "`model/logic.json`, `codesign_rtl.json`",
            "the logic for alkaid's interpreter; digests of all files",
        ),
        (
            "",
            "`codesign build FOLDER --steps vsynth,impl` runs Vivado on it; `codesign report FOLDER` shows the results",
        ),
    ]
