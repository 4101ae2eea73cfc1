"""The shell script of a plan, for this machine or another: POSIX sh, the vendor's tools, sha256sum, and nothing else."""

from __future__ import annotations

import shlex

from codesign.hls.plan import TOOL_ARGUMENTS, BuildPlan, PlanStep
from codesign.hls.toolchain import Toolchain

STEPS_TABLE = "codesign_build/steps.tsv"
PRODUCTS = "codesign_build/products.sha256"

_HEAD = r"""#!/bin/sh
# Runs the steps of this plan on a machine with the vendor's tools; see README.txt.
set -u
cd "$(dirname "$0")/@PROJECT@" || exit 1
mkdir -p codesign_build/logs
steps="$*"  # only these, of a run whose old products are out of the way; all if none is named

wanted() {
    case " ${steps:-$1} " in *" $1 "*) ;; *) return 1 ;; esac
}

# who asked for single steps tells what became of them
say() {
    [ -n "$steps" ] || echo "$@"
}

give_up() {
    echo "ERROR: $1" >&2
    exit 127
}

# the year and release that a tool prints, as one number: 20242 for v2024.2
release() {
    number=$("$1" "$2" 2>&1 </dev/null | sed -n 's/.*[vV]\(20[0-9][0-9]\)\.\([0-9]\).*/\1\2/p' | head -n 1)
    echo "${number:-0}"
}
"""

_FIND_VITIS = r"""
hls=${CODESIGN_VITIS:-$(command -v vitis-run || true)}
older=${CODESIGN_VITIS_HLS:-$(command -v vitis_hls || true)}
hls_arguments="@VITIS_RUN@"
if [ -n "$older" ] && { [ -z "$hls" ] || [ "$(release "$hls" --version)" -lt 20242 ]; }; then
    hls=$older
    hls_arguments="@VITIS_HLS@"
fi
[ -n "$hls" ] || give_up "neither vitis-run nor vitis_hls is on PATH; source settings64.sh first"
"""

_FIND_VIVADO_HLS = r"""
hls=${CODESIGN_VIVADO_HLS:-$(command -v vivado_hls || true)}
hls_arguments="@VIVADO_HLS@"
[ -n "$hls" ] || give_up "vivado_hls is not on PATH; source settings64.sh first"
"""

_FIND_VIVADO = r"""
vivado=${CODESIGN_VIVADO:-$(command -v vivado || true)}
[ -n "$vivado" ] || give_up "vivado is not on PATH; source settings64.sh first"
"""

_FUNCTIONS = r"""
# what an earlier run left is moved away, so that nothing old is taken for a result
stale="stale_reports/$(date -u +%Y%m%dT%H%M%SZ)-$$"
for file in @TABLES@ $products; do
    if [ -z "$steps" ] && [ -e "$file" ]; then
        mkdir -p "$stale/$(dirname "$file")"
        mv "$file" "$stale/$file"
    fi
done

# the digests are written last: a folder without them holds a run that did not come to its end
finish() {
    trap - INT TERM
    for file in @STEPS_TABLE@ $products; do
        if [ -f "$file" ]; then sha256sum "$file"; fi
    done > @PRODUCTS@.part
    mv @PRODUCTS@.part @PRODUCTS@
    exit "$1"
}
trap 'finish 130' INT TERM

# run_step NAME COMMAND...: keeps the log and the exit code, ends the run when the step fails
run_step() {
    name=$1
    shift
    say "== $name: $*"
    started=$(date +%s)
    rm -f codesign_build/exit_code
    { "$@" </dev/null 2>&1; echo $? > codesign_build/exit_code; } | tee "codesign_build/logs/$name.log" 2>&1
    code=$(cat codesign_build/exit_code)
    case $code in ''|*[!0-9]*) code=1 ;; esac  # a full disk keeps no number
    printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$code" "$started" "$(date +%s)" "$*" >> @STEPS_TABLE@
    if [ "$code" -ne 0 ]; then
        say "ERROR: the step $name ended with exit code $code" >&2
        finish "$code"
    fi
}

# need FILE...: a tool that left no report failed, whatever its exit code
need() {
    for file in "$@"; do
        if [ ! -s "$file" ]; then
            say "ERROR: the step $name did not write $file" >&2
            finish 1
        fi
    done
}
"""


def shell_script(plan: BuildPlan, project: str = "project", tools: Toolchain | None = None) -> str:
    """Write `run.sh`: every step of a plan, or those that its arguments name.

    Parameters
    ----------
    plan
        What to run.
    project
        The project's folder, relative to the script's.
    tools
        The tools; if not given, the script finds them on the machine that runs it.
    """
    parts = [_HEAD]
    if tools is not None:
        parts.append(_given(tools))
    else:
        if plan.needs_hls:
            parts.append(_FIND_VITIS if plan.project.backend == "Vitis" else _FIND_VIVADO_HLS)
        if plan.needs_vivado:
            parts.append(_FIND_VIVADO)
    products = [name for step in plan.steps for name in (step.log, *(report.path for report in step.reports))]
    parts.append("\nproducts=" + shlex.quote(" ".join(products)) + "\n")
    parts.append(_FUNCTIONS)
    parts.append("\n")
    parts.extend(_step_lines(step) for step in plan.steps)
    parts.append("finish 0\n")
    text = "".join(parts)
    values = {
        "PROJECT": project,
        "VITIS_RUN": " ".join(TOOL_ARGUMENTS["vitis-run"]),
        "VITIS_HLS": " ".join(TOOL_ARGUMENTS["vitis_hls"]),
        "VIVADO_HLS": " ".join(TOOL_ARGUMENTS["vivado_hls"]),
        "STEPS_TABLE": STEPS_TABLE,
        "PRODUCTS": PRODUCTS,
        "TABLES": f"{STEPS_TABLE} {PRODUCTS}",
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _step_lines(step: PlanStep) -> str:
    if step.tool == "hls":
        # the arguments are words of this package's own and meant to be split
        command = f'"$hls" $hls_arguments {shlex.quote(step.script)}'
    else:
        command = f'"$vivado" {shlex.join([*TOOL_ARGUMENTS["vivado"], step.script])}'
    reports = shlex.join(report.path for report in step.reports)
    return f"if wanted {step.name}; then\n    run_step {step.name} {command}\n    need {reports}\nfi\n"


def _given(tools: Toolchain) -> str:
    """The tools that were found already."""
    lines = []
    if tools.hls is not None:
        lines.append(f"hls={shlex.quote(str(tools.hls.path))}")
        lines.append(f'hls_arguments="{" ".join(TOOL_ARGUMENTS[tools.hls.tool.program])}"')
    if tools.vivado is not None:
        lines.append(f"vivado={shlex.quote(str(tools.vivado.path))}")
    return "\n".join(["", *lines, ""])
