"""Vivado's reports in their layouts, of the design of fake_reports after optimisation: a little smaller."""

from fake_reports import AVAILABLE, BRAM_18K, DSP, FF, LUT, URAM, date

LUT_USED, FF_USED, CARRY8 = LUT - 900, FF - 50, 310
WNS_NS, POWER_W = 0.412, 2.871

_BAR = "-" * 97
_SLACKS = ("WNS(ns)", "TNS(ns)", "TNS Failing Endpoints", "TNS Total Endpoints")
_SLACKS += ("WHS(ns)", "THS(ns)", "THS Failing Endpoints", "THS Total Endpoints")
_SLACKS += ("WPWS(ns)", "TPWS(ns)", "TPWS Failing Endpoints", "TPWS Total Endpoints")
_VALUES = (
    f"{WNS_NS:.3f}",
    "0.000",
    "0",
    "4431",
    "0.021",
    "0.000",
    "0",
    "4431",
    "2.225",
    "0.000",
    "0",
    "2160",
)


def report(kind, command, top, part, version, routed, clock):
    """One report by its kind: utilization, hierarchical, timing_summary or power."""
    body = {
        "utilization": _utilization,
        "hierarchical": lambda: _hierarchical(top),
        "timing_summary": lambda: _timing(clock),
        "power": lambda: _power(top, clock),
    }[kind]()
    return f"""\
Copyright 1986-2022 Xilinx, Inc. All Rights Reserved. Copyright 2022-2023 Advanced Micro Devices, Inc.
{_BAR}
| Tool Version : Vivado v.{version} (lin64) Build 4029153 Fri Oct 13 20:13:54 MDT 2023
| Date         : {date()}
| Host         : fake running 64-bit Linux
| Command      : {command}
| Design       : {top}
| Device       : {part}
| Speed File   : -2L
| Design State : {"Routed" if routed else "Optimized"}
{_BAR}

{body}"""


def _document(title, sections):
    """A report with a table of contents; a section is a heading and a text."""
    contents = "\n".join(heading for heading, _ in sections)
    parts = [f"{title}\n\nTable of Contents\n-----------------\n{contents}\n"]
    parts += [f"\n{heading}\n{'-' * len(heading)}\n\n{text}\n" for heading, text in sections]
    return "".join(parts)


def _boxes(titles, rows):
    """A drawn table."""
    cells = [[str(cell) for cell in row] for row in (titles, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(titles))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = ["| " + " | ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule, ""])


def _sites(rows):
    titles = ("Site Type", "Used", "Fixed", "Prohibited", "Available", "Util%")
    return _boxes(titles, [(site, used, 0, 0, free, f"{100 * used / free:.2f}") for site, used, free in rows])


def _utilization():
    tiles = BRAM_18K / 2
    sections = [
        (
            "1. CLB Logic",
            _sites(
                [
                    ("CLB LUTs", LUT_USED, AVAILABLE["LUT"]),
                    ("  LUT as Logic", LUT_USED - 100, AVAILABLE["LUT"]),
                    ("  LUT as Memory", 100, 591840),
                    ("CLB Registers", FF_USED, AVAILABLE["FF"]),
                    ("CARRY8", CARRY8, 147780),
                ]
            ),
        ),
        (
            "2. BLOCKRAM",
            _sites(
                [
                    ("Block RAM Tile", tiles, AVAILABLE["BRAM_18K"] // 2),
                    ("  RAMB36/FIFO*", 0, AVAILABLE["BRAM_18K"] // 2),
                    ("  RAMB18", BRAM_18K, AVAILABLE["BRAM_18K"]),
                    ("URAM", URAM, AVAILABLE["URAM"]),
                ]
            ),
        ),
        ("3. ARITHMETIC", _sites([("DSPs", DSP, AVAILABLE["DSP"])])),
        (
            "4. Primitives",
            _boxes(("Ref Name", "Used", "Functional Category"), [("FDRE", FF_USED, "Register")]),
        ),
        ("5. Black Boxes", _boxes(("Ref Name", "Used"), [])),
    ]
    return _document("Utilization Design Information", sections)


def _hierarchical(top):
    titles = ("Instance", "Module", "Total LUTs", "Logic LUTs", "LUTRAMs", "SRLs")
    titles += ("FFs", "RAMB36", "RAMB18", "URAM", "DSP Blocks")
    row = (top, "(top)", LUT_USED, LUT_USED - 100, 0, 100, FF_USED, 0, BRAM_18K, URAM, DSP)
    return _document(
        "Utilization Design Information", [("1. Utilization by Hierarchy", _boxes(titles, [row]))]
    )


def _columns(titles, rows):
    """A table with underlined titles."""
    table = [titles, tuple("-" * len(title) for title in titles), *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(titles))]
    return "\n".join("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in table)


def _boxed(title, text):
    return f"{_BAR}\n| {title}\n| {'-' * len(title)}\n{_BAR}\n\n{text}\n\n\n"


def _timing(clock):
    period = float(clock)
    waveform = f"{{0.000 {period / 2:.3f}}}"
    clocks = [("ap_clk", waveform, f"{period:.3f}", f"{1000 / period:.3f}")]
    pulses = "Check Type        Corner  Lib Pin   Reference Pin\nLow Pulse Width   Slow    FDRE/C    n/a"
    path = f"Slack (MET) :             {WNS_NS}ns\n\n                         slack              {WNS_NS}"
    return "".join(
        [
            "Timing Summary Report\n\n",
            _boxed("Design Timing Summary", _columns(_SLACKS, [_VALUES])),
            "All user specified timing constraints are met.\n\n\n",
            _boxed(
                "Clock Summary", _columns(("Clock", "Waveform(ns)", "Period(ns)", "Frequency(MHz)"), clocks)
            ),
            _boxed("Intra Clock Table", _columns(("Clock", *_SLACKS), [("ap_clk", *_VALUES)])),
            _boxed("Timing Details", f"From Clock:  ap_clk\n  To Clock:  ap_clk\n\n{path}\n\n{pulses}"),
        ]
    )


def _pairs(rows):
    """A drawn table without titles."""
    left, right = (max(len(str(row[at])) for row in rows) for at in (0, 1))
    rule = f"+{'-' * (left + 2)}+{'-' * (right + 2)}+"
    return "\n".join([rule, *(f"| {a:<{left}} | {b:<{right}} |" for a, b in rows), rule, ""])


def _power(top, clock):
    static = 2.5
    summary = [
        ("Total On-Chip Power (W)", f"{POWER_W:.3f}"),
        ("Design Power Budget (W)", "Unspecified*"),
        ("Power Budget Margin (W)", "NA"),
        ("Dynamic (W)", f"{POWER_W - static:.3f}"),
        ("Device Static (W)", f"{static:.3f}"),
        ("Effective TJA (C/W)", "0.5"),
        ("Max Ambient (C)", "98.5"),
        ("Junction Temperature (C)", "26.4"),
        ("Confidence Level", "Low"),
        ("Setting File", "---"),
        ("Simulation Activity File", "---"),
        ("Design Nets Matched", "NA"),
    ]
    on_chip = [
        ("Clocks", "0.101", 2, "---", "---"),
        ("CLB Logic", "0.270", LUT_USED, "---", "---"),
        ("Static Power", f"{static:.3f}", "", "", ""),
        ("Total", f"{POWER_W:.3f}", "", "", ""),
    ]
    sections = [
        ("1. Summary", _pairs(summary)),
        (
            "1.1 On-Chip Components",
            _boxes(("On-Chip", "Power (W)", "Used", "Available", "Utilization (%)"), on_chip),
        ),
        ("2. Settings", ""),
        ("2.1 Environment", _pairs([("Ambient Temp (C)", "25.0"), ("ThetaJA (C/W)", "0.5")])),
        (
            "2.2 Clock Constraints",
            _boxes(("Clock", "Domain", "Constraint (ns)"), [("ap_clk", "ap_clk", clock)]),
        ),
        ("3. Detailed Reports", ""),
        ("3.1 By Hierarchy", _boxes(("Name", "Power (W)"), [(top, f"{POWER_W - static:.3f}")])),
    ]
    return _document("Power Report", sections)
