"""Reports in the layouts of the vendor's HLS tools, with made-up numbers that hang together."""

import os
import time

LUT, FF, DSP, BRAM_18K, URAM = 5120, 2210, 12, 3, 0
AVAILABLE = {"LUT": 1182240, "FF": 2364480, "DSP": 6840, "BRAM_18K": 4320, "URAM": 960}
LATENCY_CYCLES, INTERVAL_CYCLES, ESTIMATED_NS = 9, 1, 3.621


def date():
    """Now, or the Unix time FAKE_TIME, as all the tools print it."""
    return time.strftime(
        "%a %b %d %H:%M:%S %Y", time.localtime(float(os.environ.get("FAKE_TIME", time.time())))
    )


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


# name, direction, bits, protocol, source object, C type
PORTS = (
    ("ap_clk", "in", 1, "ap_ctrl_hs", "{top}", "return value"),
    ("ap_rst", "in", 1, "ap_ctrl_hs", "{top}", "return value"),
    ("x", "in", 32, "ap_vld", "x", "pointer"),
    ("layer2_out_0", "out", 16, "ap_vld", "layer2_out_0", "pointer"),
)


def _xml_port(name, direction, bits, protocol, source, c_type):
    return (
        f"<RtlPorts>\n<name>{name}</name>\n<Object>{source}</Object>\n<Type>{c_type}</Type>\n<Scope></Scope>\n"
        f"<IOProtocol>{protocol}</IOProtocol>\n<IOConfig></IOConfig>\n<Dir>{direction}</Dir>\n<Bits>{bits}</Bits>\n"
        "<Attribute>data</Attribute>\n<CType>int</CType>\n</RtlPorts>"
    )


def _rpt_port(top, name, direction, bits, protocol, source, c_type):
    source = source.format(top=top)
    return f"|{name:<22}|{direction:>5}|{bits:>5}|{protocol:>12}|{source:>15}|{c_type:>14}|"


def csynth_xml(name, part, clock, version, vitis):
    dsp = "DSP" if vitis else "DSP48E"
    ports = "\n".join(_xml_port(*port) for port in PORTS).replace("{top}", name)
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

<InterfaceSummary>
{ports}
</InterfaceSummary>

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
    port_rule = "+----------------------+-----+-----+------------+---------------+--------------+"
    ports = "\n".join(_rpt_port(name, *port) for port in PORTS)
    return f"""\


{line}
== {tool} HLS Report for '{name}'
{line}
* Date:           {date()}

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


{line}
== Interface
{line}
* Summary:{space}
{port_rule}
|       RTL Ports      | Dir | Bits|  Protocol  | Source Object |    C Type    |
{port_rule}
{ports}
{port_rule}

"""


def cosim_rpt():
    wide = "-" * 47
    head = f"+----------+----------+{wide}+{wide}+"
    numbers = f"{LATENCY_CYCLES:>15}|" * 3 + f"{INTERVAL_CYCLES:>15}|" * 3
    missing = f"{'NA':>15}|" * 6
    return f"""\
Report time       : {date()}.
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
