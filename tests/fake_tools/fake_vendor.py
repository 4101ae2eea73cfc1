"""Behaves like the vendor's tools as far as a caller can see: arguments, output, exit codes, report trees.

Put `tests/fake_tools/bin` on PATH. The environment decides what happens:

FAKE_VERSION     the version all of them print (default 2023.2)
FAKE_BEHAVIOUR   ``step=behaviour`` entries, comma separated; steps: csim csynth cosim export vsynth impl version;
                 behaviours: see `MISHAPS` and the functions below; a step not named goes well
FAKE_TIME        the Unix time that reports are dated with (default now)
FAKE_PIDS        a file that the behaviour ``hang`` writes the ids of its processes into

Only the standard library is used: the tools run under whatever python3 is on PATH.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import fake_reports
import fake_vivado_reports

VERSION = os.environ.get("FAKE_VERSION", "2023.2")
BANNERS = {
    "vitis-run": f"****** vitis-run v{VERSION} (64-bit)",
    "vitis_hls": f"****** Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v{VERSION} (64-bit)",
    "vivado_hls": f"****** Vivado(TM) HLS - High-Level Synthesis from C, C++ and SystemC v{VERSION} (64-bit)",
    "vivado": f"****** Vivado v{VERSION} (64-bit)",
}

# what is printed before the tool ends with 1, no report written
MISHAPS = {
    "licence": "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or device "
    "'xcvu9p'.",
    "part": "ERROR: [HLS 200-1023] Part 'xcvu9p-flga2104-2L-e' is not installed.",
    "oom": "terminate called after throwing an instance of 'std::bad_alloc'",
    "unroll": "ERROR: [XFORM 203-504] Stop unrolling loop 'Product1' "
    "(firmware/nnet_utils/nnet_dense_latency.h:37)",
    "disk": "couldn't flush: No space left on device",
    "error": "ERROR: [HLS 200-70] Pre-synthesis failed.",
}


def say(text):
    print(text, flush=True)


def behaviour(step):
    entries = dict(entry.split("=") for entry in os.environ.get("FAKE_BEHAVIOUR", "").split(",") if entry)
    return entries.get(step, "ok")


def main():
    program, *arguments = sys.argv[1:]
    if arguments in (["-version"], ["--version"]):
        return print_version(program)
    script = script_of(program, arguments)
    if script is None:
        say(f"ERROR: {program}: unknown arguments {' '.join(arguments)}")
        return 2
    say(BANNERS[program])
    say(f"Sourcing Tcl script '{script}'")
    if not script.is_file():
        say(f'couldn\'t read file "{script}": no such file or directory')
        return 1
    root = script.resolve().parents[2]  # the script begins by going there
    os.chdir(root)
    text = script.resolve().read_text()
    if program == "vivado":
        return run_vivado(text)
    return run_hls(script.resolve(), text, program)


def print_version(program):
    if behaviour("version") == "hang":
        time.sleep(600)
    if behaviour("version") == "silent":
        return 0
    say(BANNERS[program] if program.startswith("vitis") else BANNERS[program].strip("* "))
    say("  **** SW Build 4023990 on Oct 11 2023")
    return 0


def script_of(program, arguments):
    """The script of exactly the arguments that the real tool takes."""
    wanted = {
        "vitis-run": ["--mode", "hls", "--tcl"],
        "vitis_hls": ["-f"],
        "vivado_hls": ["-f"],
        "vivado": ["-mode", "batch", "-nojournal", "-nolog", "-notrace", "-source"],
    }[program]
    return Path(arguments[-1]) if arguments[:-1] == wanted else None


def project_values(folder=Path()):
    if Path("codesign_rtl.json").exists():
        figures = json.loads(Path("codesign_rtl.json").read_text())["figures"]
        return {
            "project_name": figures["top"],
            "part": figures["part"],
            "clock_period": figures["clock_period_ns"],
        }
    text = (folder / "project.tcl").read_text()
    return dict(re.findall(r'^set (\w+) "?([^"\n]*)"?$', text, re.MULTILINE))


def run_hls(script, text, program):
    values = project_values(script.parent)
    name = values["project_name"]
    if program == "vivado_hls":
        options = dict(re.findall(r"(\w+)=(\d)", re.search(r"set ::argv \[list \"(.*)\"\]", text)[1]))
    else:
        options = dict(
            re.findall(r"^\s+(\w+)\s+(\d)$", (script.parent / "build_opt.tcl").read_text(), re.MULTILINE)
        )
    project = Path(f"{name}_prj")
    if options["reset"] == "1":
        shutil.rmtree(project, ignore_errors=True)
    (project / "solution1").mkdir(parents=True, exist_ok=True)
    (project / ("vivado_hls.app" if program == "vivado_hls" else "hls.app")).write_text(
        fake_reports.app(name)
    )
    vitis = program != "vivado_hls"
    if vitis and "config_array_partition -maximum_size" in (script.parent / "build_prj.tcl").read_text():
        say("ERROR: [HLS 200-101] config_array_partition: Unknown option '-maximum_size'.")
    say(f"INFO: [HLS 200-10] Setting target device to '{values['part']}'")
    steps = {"csim": hls_csim, "synth": hls_csynth, "cosim": hls_cosim, "export": hls_export}
    for option, step in steps.items():
        if options[option] == "1":
            code = step(project / "solution1", values, options, program)
            if code:
                return code
    return 0


def misbehave(step):
    """Act out what the environment asks for before a step's reports are written; the exit code, if it "
    "ends here."""
    what = behaviour(step)
    if what in MISHAPS:
        say(MISHAPS[what])
        say("    while executing")
        say(f'"source codesign_build/{step}/build_prj.tcl"')
        return 1
    if what == "exit0_silent":
        return 0
    if what == "killed":
        say("INFO: [HLS 200-10] Starting code transformations ...")
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        hang()
    if what == "odd_bytes":
        sys.stdout.buffer.write(b"caf\xe9 10%\r20%\r100%\r\n")
        sys.stdout.flush()
    if what == "exit0_error":
        say("ERROR: [Synth 8-439] module 'mul_8s' not found")
    return None


def hang():
    """Sleep, and keep a child that does not mind SIGTERM, as the vendor's compilers do not."""
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child.stdout.readline()
    pids = Path(os.environ["FAKE_PIDS"])
    pids.with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
    pids.with_suffix(".part").rename(pids)
    say("INFO: [HLS 200-42] -- Implementing module 'myproject'")
    time.sleep(600)


def write(step, path, text):
    """Write a report, or the half of it that a dying tool leaves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    what = behaviour(step)
    if what == "empty_report":
        text = ""
    if what == "half":
        path.write_text(text[: len(text) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_text(text)


def hls_csim(solution, values, options, program):
    say("***** C SIMULATION *****")
    ended = misbehave("csim")
    if ended is not None:
        return ended
    name = values["project_name"]
    golden = Path("tb_data/tb_output_predictions.dat")
    write("csim", Path("tb_data/csim_results.log"), golden.read_text() if golden.exists() else "0.5 0.25 \n")
    log = fake_reports.csim_log(name)
    write("csim", solution / f"csim/report/{name}_csim.log", log)
    say(log.rstrip())
    say("***** C SIMULATION COMPLETED IN 0h0m1s *****")
    return 0


def hls_csynth(solution, values, options, program):
    say("***** C/RTL SYNTHESIS *****")
    ended = misbehave("csynth")
    if ended is not None:
        return ended
    name = values["project_name"]
    report = solution / "syn" / "report" / f"{name}_csynth"
    vitis = program != "vivado_hls"
    xml = fake_reports.csynth_xml(name, values["part"], values["clock_period"], VERSION, vitis)
    write("csynth", report.with_suffix(".xml"), xml)
    rpt = fake_reports.csynth_rpt(name, values["part"], values["clock_period"], VERSION, vitis)
    write("csynth", report.with_suffix(".rpt"), rpt)
    write("csynth", solution / f"syn/verilog/{name}.v", f"module {name}(input ap_clk);\nendmodule\n")
    say("INFO: [HLS 200-789] **** Estimated Fmax: 276.17 MHz")
    return 0


def hls_cosim(solution, values, options, program):
    say("***** C/RTL SIMULATION *****")
    if not (solution / "syn/verilog").is_dir():
        say("ERROR: [COSIM 212-5] *** C/RTL co-simulation file generation failed. ***")
        return 1
    ended = misbehave("cosim")
    if ended is not None:
        return ended
    name = values["project_name"]
    csim = Path("tb_data/csim_results.log")
    outputs = csim.read_text() if csim.exists() else "0.5 0.25 \n"
    if behaviour("cosim") == "mismatch":
        outputs = "9 " + outputs
    write("cosim", Path("tb_data/rtl_cosim_results.log"), outputs)
    write("cosim", solution / f"sim/report/{name}_cosim.rpt", fake_reports.cosim_rpt())
    if options["validation"] == "1" and outputs != csim.read_text():
        say("ERROR: Test failed")
        return 1
    say("INFO: [COSIM 212-1000] *** C/RTL co-simulation finished: PASS ***")
    return 0


def hls_export(solution, values, options, program):
    say("***** EXPORT IP *****")
    ended = misbehave("export")
    if ended is not None:
        return ended
    write("export", solution / "impl/ip/component.xml", "<?xml version='1.0'?>\n<spirit:component/>\n")
    return 0


def run_vivado(text):
    """Obey the commands of a script in their order, as far as they leave files."""
    step = re.search(r"the step (\w+)", text)[1]
    part = re.search(r"-part (\S+)", text)
    part = part[1] if part else project_values()["part"]
    clock = project_values()["clock_period"]
    constraints = Path("codesign_build/vsynth/clock.xdc")
    if constraints.exists():
        text_of = constraints.read_text()
        found = re.findall(r"(?:create_clock .*-period|^set clock_period) ([\d.]+)", text_of, re.MULTILINE)
        if found:
            clock = f"{float(found[0]):.3f}"
        elif step == "vsynth":
            say("CRITICAL WARNING: [Timing 38-2] no clock")
    if "ipx::package_project" in text:
        ended = misbehave(step)
        if ended is not None:
            return ended
        write(step, Path("ip/component.xml"), "<?xml version='1.0'?>\n<spirit:component/>\n")
        return 0
    for path in re.findall(r"^\s*(?:add_files|open_checkpoint) (\S+)", text, re.MULTILINE):
        if not Path(path).exists():
            say(f"ERROR: [Common 17-69] Command failed: {path} does not exist")
            return 1
    say(f"Command: {'synth_design -mode out_of_context' if step == 'vsynth' else 'place_design'}")
    say("Phase 1 Placer Initialization")
    ended = misbehave(step)
    if ended is not None:
        return ended
    name = project_values()["project_name"]
    for command, options, path in re.findall(r"^\s*report_(\w+)(.*) -file (\S+)", text, re.MULTILINE):
        kind = "hierarchical" if "-hierarchical" in options else command
        called = f"report_{command}{options} -file {path}"
        text_of = fake_vivado_reports.report(kind, called, name, part, VERSION, step == "impl", clock)
        write(step, Path(path), text_of)
    for path in re.findall(r"^\s*write_checkpoint -force (\S+)", text, re.MULTILINE):
        write(step, Path(path), "checkpoint")
    say("INFO: [Common 17-206] Exiting Vivado...")
    return 0


if __name__ == "__main__":
    sys.exit(main())
