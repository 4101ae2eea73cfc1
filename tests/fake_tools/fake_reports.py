"""Reports in the layouts of the vendor's tools, with made-up numbers that hang together."""

LUT, FF, DSP, BRAM_18K, URAM = 5120, 2210, 12, 3, 0
AVAILABLE = {"LUT": 1182240, "FF": 2364480, "DSP": 6840, "BRAM_18K": 4320, "URAM": 960}
LATENCY_CYCLES, INTERVAL_CYCLES, ESTIMATED_NS, WNS_NS, POWER_W = 9, 1, 3.621, 0.412, 2.871


def app(name):
    return (
        f'<AutoPilot:project xmlns:AutoPilot="com.autoesl.autopilot.project" name="{name}_prj" top="{name}">\n'
        '    <solutions>\n        <solution name="solution1" status=""/>\n    </solutions>\n'
        "</AutoPilot:project>\n"
    )


def csim_log(name):
    return (
        "INFO: [SIM 2] *************** CSIM start ***************\n"
        "INFO: [SIM 4] CSIM will launch GCC as the compiler.\n"
        f"   Compiling ../../../../{name}_test.cpp in debug mode\n"
        "   Generating csim.exe\n"
        "INFO: [SIM 1] CSim done with 0 errors.\n"
        "INFO: [SIM 3] *************** CSIM finish ***************\n"
    )


def csynth_xml(name, part, clock, version, vitis):
    dsp = "DSP" if vitis else "DSP48E"
    latency = f"{LATENCY_CYCLES * float(clock):.3f} ns"
    return f"""\
<profile>

<ReportVersion>
<Version>{version}</Version>
</ReportVersion>

<UserAssignments>
<unit>ns</unit>
<ProductFamily>virtexuplus</ProductFamily>
<Part>{part}</Part>
<TopModelName>{name}</TopModelName>
<TargetClockPeriod>{float(clock):.2f}</TargetClockPeriod>
<ClockUncertainty>{float(clock) * 0.27:.2f}</ClockUncertainty>
<FlowTarget>vivado</FlowTarget>
</UserAssignments>

<PerformanceEstimates>
<PipelineType>yes</PipelineType>
<SummaryOfTimingAnalysis>
<unit>ns</unit>
<EstimatedClockPeriod>{ESTIMATED_NS}</EstimatedClockPeriod>
</SummaryOfTimingAnalysis>
<SummaryOfOverallLatency>
<unit>clock cycles</unit>
<Best-caseLatency>{LATENCY_CYCLES}</Best-caseLatency>
<Average-caseLatency>{LATENCY_CYCLES}</Average-caseLatency>
<Worst-caseLatency>{LATENCY_CYCLES}</Worst-caseLatency>
<Best-caseRealTimeLatency>{latency}</Best-caseRealTimeLatency>
<Average-caseRealTimeLatency>{latency}</Average-caseRealTimeLatency>
<Worst-caseRealTimeLatency>{latency}</Worst-caseRealTimeLatency>
<Interval-min>{INTERVAL_CYCLES}</Interval-min>
<Interval-max>{INTERVAL_CYCLES}</Interval-max>
</SummaryOfOverallLatency>
</PerformanceEstimates>

<AreaEstimates>
<Resources>
<BRAM_18K>{BRAM_18K}</BRAM_18K>
<{dsp}>{DSP}</{dsp}>
<FF>{FF}</FF>
<LUT>{LUT}</LUT>
<URAM>{URAM}</URAM>
</Resources>
<AvailableResources>
<BRAM_18K>{AVAILABLE["BRAM_18K"]}</BRAM_18K>
<{dsp}>{AVAILABLE["DSP"]}</{dsp}>
<FF>{AVAILABLE["FF"]}</FF>
<LUT>{AVAILABLE["LUT"]}</LUT>
<URAM>{AVAILABLE["URAM"]}</URAM>
</AvailableResources>
</AreaEstimates>

</profile>
"""


def csynth_rpt(name, part, clock, version, vitis):
    tool, dsp = ("Vitis", "  DSP ") if vitis else ("Vivado", "DSP48E")
    used = f"{BRAM_18K:>9}|{DSP:>7}|{FF:>9}|{LUT:>9}|{URAM:>6}"
    cells = zip(("BRAM_18K", "DSP", "FF", "LUT", "URAM"), (9, 7, 9, 9, 6), strict=True)
    free = "|".join(f"{AVAILABLE[resource]:>{width}}" for resource, width in cells)
    cycles, interval = f"{LATENCY_CYCLES:>9}", f"{INTERVAL_CYCLES:>5}"
    space = " "  # the tool leaves one at the end of these lines
    line = "================================================================"
    rule = "+---------------------+---------+-------+---------+---------+------+"
    latency = f"{LATENCY_CYCLES * float(clock):.3f} ns"
    return f"""\


{line}
== {tool} HLS Report for '{name}'
{line}
* Date:           Mon Jan 15 10:00:00 2024

* Version:        {version} (Build 4023990 on Oct 11 2023)
* Project:        {name}_prj
* Solution:       solution1 (Vivado IP Flow Target)
* Product family: virtexuplus
* Target device:  {part}


{line}
== Performance Estimates
{line}
+ Timing:{space}
    * Summary:{space}
    +--------+---------+----------+------------+
    |  Clock |  Target | Estimated| Uncertainty|
    +--------+---------+----------+------------+
    |ap_clk  |  {float(clock):.2f} ns|  {ESTIMATED_NS} ns|     {float(clock) * 0.27:.2f} ns|
    +--------+---------+----------+------------+

+ Latency:{space}
    * Summary:{space}
    +---------+---------+-----------+-----------+-----+-----+---------+
    |  Latency (cycles) |   Latency (absolute)  |  Interval | Pipeline|
    |   min   |   max   |    min    |    max    | min | max |   Type  |
    +---------+---------+-----------+-----------+-----+-----+---------+
    |{cycles}|{cycles}|{latency:>11}|{latency:>11}|{interval}|{interval}|      yes|
    +---------+---------+-----------+-----------+-----+-----+---------+


{line}
== Utilization Estimates
{line}
* Summary:{space}
{rule}
|         Name        | BRAM_18K| {dsp}|    FF   |   LUT   | URAM |
{rule}
|Instance             |{used}|
{rule}
|Total                |{used}|
{rule}
|Available            |{free}|
{rule}
|Utilization (%)      |       ~0|     ~0|       ~0|       ~0|     0|
{rule}
"""


def cosim_rpt():
    wide = "-" * 47
    head = f"+----------+----------+{wide}+{wide}+"
    numbers = f"{LATENCY_CYCLES:>15}|" * 3 + f"{INTERVAL_CYCLES:>15}|" * 3
    missing = f"{'NA':>15}|" * 6
    return f"""\
Report time       : Mon Jan 15 10:00:00 2024.
Solution          : solution1.
Simulation tool   : xsim.

{head}
|          |          |{"Latency(Clock Cycles)":^47}|{"Interval(Clock Cycles)":^47}|
+   RTL    +  Status  +{wide}+{wide}+
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |
{head}
|      VHDL|        NA|{missing}
|   Verilog|      Pass|{numbers}
{head}
"""


def vivado(kind, name, part, version, routed):
    command = f"report_{kind} -file x.rpt"
    state = "Routed" if routed else "Optimized"
    header = f"""\
Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.
-----------------------------------------------------------------
| Tool Version : Vivado v.{version} (lin64) Build 4029153 Fri Oct 13 20:13:54 MDT 2023
| Date         : Mon Jan 15 10:00:00 2024
| Host         : fake running 64-bit Linux
| Command      : {command}
| Design       : {name}
| Device       : {part}
| Speed File   : -2L
| Design State : {state}
-----------------------------------------------------------------

"""
    if kind == "hierarchical":
        return header + _hierarchical(name)
    return header + {"utilization": _utilization, "timing_summary": _timing, "power": _power}[kind]()


def _hierarchical(name):
    titles = ("Total LUTs", "Logic LUTs", "LUTRAMs", "SRLs", "FFs", "RAMB36", "RAMB18", "URAM", "DSP Blocks")
    values = (LUT - 900, LUT - 1000, 0, 100, FF - 50, 0, BRAM_18K, URAM, DSP)
    cells = " | ".join(f"{title:>10}" for title in titles)
    numbers = " | ".join(f"{value:>10}" for value in values)
    rule = "+------------+--------+" + "+".join("-" * 12 for _ in titles) + "+"
    return (
        "Utilization Design Information\n\n1. Utilization by Hierarchy\n---------------------------\n\n"
        f"{rule}\n|  Instance  | Module | {cells} |\n{rule}\n| {name:<10} |  (top) | {numbers} |\n{rule}\n"
    )


def _table(rows):
    rule = "+----------------------------+-------+-------+------------+-----------+-------+"
    lines = [rule, "|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |", rule]
    for name, used, available in rows:
        lines.append(
            f"| {name:<26} | {used:>5} |     0 |          0 | {available:>9} | {100 * used / available:>5.2f} |"
        )
    return "\n".join([*lines, rule, ""])


def _utilization():
    clb = [
        ("CLB LUTs", LUT - 900, AVAILABLE["LUT"]),
        ("CLB Registers", FF - 50, AVAILABLE["FF"]),
        ("CARRY8", 310, 147780),
    ]
    ram = [("Block RAM Tile", 1.5, 2160), ("RAMB36/FIFO*", 0, 2160), ("RAMB18", 3, 4320), ("URAM", URAM, 960)]
    return "\n".join(
        [
            "Utilization Design Information",
            "",
            "1. CLB Logic\n------------\n",
            _table(clb),
            "",
            "2. BLOCKRAM\n-----------\n",
            _table(ram),
            "",
            "3. ARITHMETIC\n-------------\n",
            _table([("DSPs", DSP, AVAILABLE["DSP"])]),
        ]
    )


def _timing():
    names = ("WNS(ns)", "TNS(ns)", "TNS Failing Endpoints", "TNS Total Endpoints")
    names += ("WHS(ns)", "THS(ns)", "THS Failing Endpoints", "THS Total Endpoints")
    names += ("WPWS(ns)", "TPWS(ns)", "TPWS Failing Endpoints", "TPWS Total Endpoints")
    values = (
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
    columns = [max(len(a), len(b)) for a, b in zip(names, values, strict=True)]
    rows = [names, ["-" * width for width in columns], values]
    table = "\n".join(
        "    " + "  ".join(f"{text:>{width}}" for text, width in zip(row, columns, strict=True))
        for row in rows
    )
    bar = "-" * 96
    return f"""\
Timing Summary Report

{bar}
| Design Timing Summary
| ---------------------
{bar}

{table}


All user specified timing constraints are met.


{bar}
| Clock Summary
| -------------
{bar}

Clock   Waveform(ns)       Period(ns)      Frequency(MHz)
-----   ------------       ----------      --------------
ap_clk  {{0.000 2.500}}      5.000           200.000
"""


def _power():
    return f"""\
Power Report

1. Summary
----------

+--------------------------+--------------+
| Total On-Chip Power (W)  | {POWER_W:<12} |
| Dynamic (W)              | {POWER_W - 2.5:<12.3f} |
| Device Static (W)        | 2.500        |
| Junction Temperature (C) | 26.4         |
| Confidence Level         | Low          |
+--------------------------+--------------+
"""
