"""The hardware that a design is for: part, clock and io type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from codesign.errors import SettingsError

IoType = Literal["io_parallel", "io_stream"]
Backend = Literal["Vitis", "Vivado"]
Strategy = Literal["latency", "resource", "unrolled", "distributed_arithmetic"]

DEFAULT_TOP = "codesign_top"
"""The name of the top function and module where none is given."""

PortStyle = Literal["fixed", "packed"]
Control = Literal["none", "valid", "ready"]
Reset = Literal["none", "high", "low"]
Outputs = Literal["logits", "decisions"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_WORDS = frozenset({
    "always", "and", "assign", "begin", "buf", "case", "cell", "config", "default", "design", "edge", "else", "end",
    "endcase", "endmodule", "entity", "event", "for", "forever", "fork", "function", "generate", "if", "initial",
    "inout", "input", "instance", "integer", "join", "library", "localparam", "logic", "module", "nand", "negedge",
    "nor", "not", "or", "output", "package", "parameter", "posedge", "real", "reg", "repeat", "signal", "signed",
    "table", "task", "time", "tri", "type", "use", "wait", "wand", "while", "wire", "wor", "xnor", "xor", "auto",
    "bool", "break", "catch", "char", "class", "const", "continue", "delete", "do", "double", "enum", "explicit",
    "extern", "false", "float", "friend", "goto", "inline", "int", "long", "main", "mutable", "namespace", "new",
    "nnet", "operator", "private", "protected", "public", "register", "return", "short", "sizeof", "static", "std",
    "struct", "switch", "template", "this", "throw", "true", "try", "typedef", "typename", "union", "unsigned",
    "using", "virtual", "void", "volatile",
})  # fmt: skip
"""Words of Verilog, VHDL and C++, which HLS makes the function in."""


def check_top(top: str, *, setting: str = "top") -> str:
    """Refuse a name that no function and no module can have.

    Raises
    ------
    SettingsError
        It is none.
    """
    if _NAME.fullmatch(top) is None or "__" in top or top.endswith("_") or top.lower() in _WORDS:
        raise SettingsError(
            f"{setting}: {top!r} is no name for a module: letters, digits and single underscores, a letter first and none "
            "of Verilog's and C++'s own words"
        )
    return top


@dataclass(frozen=True)
class Interface:
    """What the top module of the open RTL has beside the clock.

    Parameters
    ----------
    ports
        ``fixed``: every value has as many bits as its type, whatever the weights are. ``packed``: only bits that are read
        or driven.
    control
        ``none``: a result stands at the output a fixed number of cycles after its input. ``valid``: `in_valid` goes along
        and comes out as `out_valid`. ``ready``: also `in_ready` and `out_ready`; the whole pipeline waits while a
        result is not taken.
    reset
        ``none``; ``high``: `rst`; ``low``: `rst_n`. It is synchronous and clears the valid bits, and without those every
        register.
    outputs
        ``logits``: the network's numbers. ``decisions``: the index of the class that they decide on, the first of equal
        ones; of a single logit whether it is above zero.
    """

    ports: PortStyle = "fixed"
    control: Control = "none"
    reset: Reset = "none"
    outputs: Outputs = "logits"

    @classmethod
    def of(cls, ports: str, control: str, reset: str, outputs: str = "logits") -> Interface:
        """Make one of words as a command line gives them.

        Raises
        ------
        SettingsError
            A word that is none of those above, all together.
        """
        given = {
            "ports": (ports, PortStyle),
            "control": (control, Control),
            "reset": (reset, Reset),
            "outputs": (outputs, Outputs),
        }
        faults = [
            f"{name}: {word!r} is none of {', '.join(get_args(words))}"
            for name, (word, words) in given.items()
            if word not in get_args(words)
        ]
        if faults:
            raise SettingsError(faults)
        return cls(ports, control, reset, outputs)  # type: ignore[arg-type]

    @property
    def reset_signal(self) -> str | None:
        """The name of the reset."""
        return {"none": None, "high": "rst", "low": "rst_n"}[self.reset]

    @property
    def has_valid(self) -> bool:
        """Whether `in_valid` and `out_valid` are there."""
        return self.control != "none"

    def controls(self) -> tuple[tuple[str, Literal["input", "output"], str], ...]:
        """The control signals of one bit: name, direction, meaning."""
        found: list[tuple[str, Literal["input", "output"], str]] = [
            ("clk", "input", "the clock; all is registered at its rising edge")
        ]
        if self.reset_signal:
            what = "the valid bits" if self.has_valid else "every register"
            active = "high" if self.reset == "high" else "low"
            found.append((self.reset_signal, "input", f"synchronous reset, active {active}: clears {what}"))
        if self.has_valid:
            found.append(("in_valid", "input", "a sample stands at the inputs"))
        if self.control == "ready":
            found.append(("in_ready", "output", "it is taken at the next rising edge if in_valid is high"))
        if self.has_valid:
            found.append(("out_valid", "output", "a result stands at the outputs"))
        if self.control == "ready":
            found.append(("out_ready", "input", "it is taken at the next rising edge if out_valid is high"))
        return tuple(found)


@dataclass(frozen=True)
class Device:
    """What a part holds.

    Parameters
    ----------
    name
        The part's family name, for example ``VU9P``.
    lut, ff, dsp, bram_18k, uram
        Totals as the vendor counts them; `bram_18k` in 18 Kb blocks.
    """

    name: str
    lut: int
    ff: int
    dsp: int
    bram_18k: int
    uram: int


VU9P = Device("VU9P", lut=1_182_240, ff=2_364_480, dsp=6_840, bram_18k=4_320, uram=960)
"""Virtex UltraScale+ VU9P (AMD DS890, UltraScale+ FPGA product tables)."""


@dataclass(frozen=True)
class Target:
    """Part, clock and interface of a design.

    Parameters
    ----------
    part
        A Xilinx part name.
    clock_period_ns
        The clock period in ns, > 0.
    backend
        The hls4ml back end.
    io_type
        `io_parallel` or `io_stream`.
    """

    part: str = "xcvu9p-flga2104-2L-e"
    clock_period_ns: float = 5.0
    backend: Backend = "Vitis"
    io_type: IoType = "io_parallel"
