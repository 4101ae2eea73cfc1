"""Why a run died: every row of the table on messages as the tools print them, and what is no failure."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.hls.failures import (
    BENIGN_ERRORS,
    FAILURE_PATTERNS,
    Failure,
    FailureKind,
    explain_log,
    explain_log_file,
)

SAMPLES: tuple[tuple[FailureKind, str], ...] = (
    ("disk_full", "couldn't write tb.dat: No space left on device"),
    ("disk_full", "std::ios failure: Disk quota exceeded"),
    (
        "licence",
        "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or device "
        "'xcvu9p'.",
    ),
    ("licence", "WARNING: [Common 17-348] Failed to get the license for feature 'Synthesis'"),
    ("licence", "@E [LIC-101] Checking out license for feature 'VIVADO_HLS' failed."),
    ("licence", "FLEXnet Licensing error:-15,578"),
    ("part_not_installed", "ERROR: [HLS 200-1023] Part 'xcvu9p-flga2104-2L-e' is not installed."),
    ("part_not_installed", "ERROR: [Coretcl 2-106] Specified part could not be found."),
    ("part_not_installed", 'can\'t read "lib_specifications": no such variable'),
    (
        "part_not_installed",
        "ERROR: [HLS 200-101] 'set_part': Argument 'device_specification' requires a value!",
    ),
    ("library_missing", "libtinfo.so.5: cannot open shared object file: No such file or directory"),
    ("library_missing", "/usr/bin/ld: cannot find crti.o: No such file or directory"),
    ("library_missing", "loader: /lib64/libc.so.6: version `GLIBC_2.34' not found"),
    ("out_of_memory", "terminate called after throwing an instance of 'std::bad_alloc'"),
    ("out_of_memory", "fork: Cannot allocate memory"),
    ("killed", 'Vivado/2019.2/bin/rdiArgs.sh: line 280:  2555 Killed                  "$RDI_PROG" "$@"'),
    ("killed", "Killed"),
    ("killed", "clang: error: unable to execute command: Killed"),
    ("crash", "realloc(): invalid pointer"),
    ("crash", "Abnormal program termination (11)"),
    ("crash", "*** stack smashing detected ***: terminated"),
    (
        "unroll_limit",
        "ERROR: [XFORM 203-504] Stop unrolling loop 'Product1' (firmware/nnet_utils/nnet_dense_latency.h:37)",
    ),
    (
        "unroll_limit",
        "ERROR: [XFORM 203-103] Array 'mult.V': partitioned elements number (5120) has exeeded the threshold",
    ),
    ("date_overflow", "bad lexical cast: source type value could not be interpreted as target"),
    ("date_overflow", "ERROR: '2201251806' is an invalid argument. Please specify an integer value."),
    ("simulation_mismatch", "ERROR: Test failed"),
    ("simulation_mismatch", "codesign: 100 samples, 100 compared, 3 differ, first 17"),
    ("cosim_failed", "ERROR: [COSIM 212-360] Aborting co-simulation: C TB simulation failed."),
    ("cosim_failed", "ERROR: [COSIM 212-4] *** C/RTL co-simulation finished: FAIL ***"),
    ("compile_error", "ERROR: [SIM 211-100] CSim failed with errors."),
    ("compile_error", "@E Simulation failed."),
    ("compile_error", "ERROR: [HLS 200-1715] Encountered problem during source synthesis"),
    ("compile_error", "csim.mk:80: recipe for target 'obj/myproject.o' failed"),
)

ORDINARY = (
    "INFO: [HLS 200-10] Analyzing design file 'firmware/myproject.cpp' ...",
    "WARNING: [HLS 207-5292] unused parameter 'keep' (firmware/nnet_utils/nnet_helpers.h:285:99)",
    "INFO: [SIM 211-1] CSim done with 0 errors.",
    "codesign: 100 samples, 100 compared, 0 differ, first -1",
    "INFO: [Common 17-349] Got license for feature 'Synthesis' and/or device 'xcvu9p'",
    "  (ap_q_mode)5, (ap_o_mode)3, 0>, config2>' completely with a factor of 64.",
    "0 Infos, 1 Warnings, 0 Critical Warnings and 0 Errors encountered.",
    "",
)


@pytest.mark.parametrize(("kind", "line"), SAMPLES)
def test_a_message_is_recognised_among_ordinary_lines(kind: FailureKind, line: str) -> None:
    failure = explain_log([*ORDINARY, line, *ORDINARY], 1)
    assert failure is not None
    assert (failure.kind, failure.evidence) == (kind, line)
    assert failure.advice


def test_every_row_of_the_table_has_a_sample() -> None:
    for row in FAILURE_PATTERNS:
        assert any(row.pattern.search(line) for kind, line in SAMPLES if kind == row.kind), (
            row.pattern.pattern
        )
    assert {row.kind for row in FAILURE_PATTERNS} == {kind for kind, _ in SAMPLES}


def test_ordinary_lines_match_no_row() -> None:
    for row in FAILURE_PATTERNS:
        assert not any(row.pattern.search(line) for line in ORDINARY), row.kind


@given(
    picked=st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=6), seed=st.randoms(use_true_random=False)
)
def test_the_cause_does_not_depend_on_the_order_of_the_lines(
    picked: list[tuple[FailureKind, str]], seed: random.Random
) -> None:
    lines = [line for _, line in picked]
    shuffled = list(lines)
    seed.shuffle(shuffled)
    first, second = explain_log(lines, 1), explain_log(shuffled, 1)
    assert first is not None
    assert second is not None
    assert (first.kind, first.meaning) == (second.kind, second.meaning)
    # the most telling of the causes that are there wins
    order = [row.kind for row in FAILURE_PATTERNS]
    assert order.index(first.kind) == min(order.index(kind) for kind, _ in picked)


def test_exit_0_with_error_lines_is_a_failure() -> None:
    failure = explain_log([*ORDINARY, "ERROR: [Synth 8-439] module 'mul_8s' not found"], 0)
    assert failure == Failure(
        "tool_error",
        "the tool reported an error",
        evidence="ERROR: [Synth 8-439] module 'mul_8s' not found",
    )


def test_exit_0_without_error_lines_is_none_even_if_a_warning_looks_like_a_cause() -> None:
    line = "WARNING: [Common 17-348] Failed to get the license for feature 'ap_opencl'"
    assert explain_log([*ORDINARY, line], 0) is None


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: [HLS 200-101] config_array_partition: Unknown option '-maximum_size'.",
        "ERROR: [HLS 200-101] 'config_array_partition': Unknown option '4096'.",
    ],
)
def test_the_refusal_that_every_hls4ml_project_prints_is_no_failure(line: str) -> None:
    assert explain_log([line], 0) is None
    assert all(reason for _, reason in BENIGN_ERRORS)
    # nor is it taken for the cause of another one
    failure = explain_log([line, "ERROR: [HLS 200-70] Pre-synthesis failed."], 1)
    assert failure is not None
    assert failure.evidence == "ERROR: [HLS 200-70] Pre-synthesis failed."


@pytest.mark.parametrize(
    ("exit_code", "sentence"),
    [
        (None, "the time allowed for it ran out; allow more time, or make the design smaller"),
        (
            137,
            "it was killed, most probably because memory ran out; use a machine with more memory, or make "
            "the "
            "layers smaller: a higher reuse factor with the resource strategy, fewer bits, more pruning",
        ),
        (
            -11,
            "the tool itself crashed (segmentation fault); try again, then another version of the tool",
        ),
        (127, "a program that it calls is missing; source the vendor's settings64.sh"),
        (3, "it ended with exit code 3 and said no reason"),
    ],
)
def test_an_exit_code_speaks_when_the_log_does_not(exit_code: int | None, sentence: str) -> None:
    failure = explain_log(ORDINARY, exit_code)
    assert failure is not None
    assert failure.sentence() == sentence


def test_a_time_out_is_a_time_out_whatever_was_printed() -> None:
    failure = explain_log(["ERROR: Test failed"], None)
    assert failure is not None
    assert failure.kind == "time_out"


def test_a_sentence_carries_the_evidence_shortened() -> None:
    failure = explain_log(["ERROR: [XFORM 203-504] Stop unrolling loop " + "x" * 1000], 1)
    assert failure is not None
    assert failure.sentence().startswith(
        "a loop or an array is beyond the tool's unrolling limit (ERROR: [XFORM 203-504] Stop unrolling "
        "loop xxx"
    )
    assert len(failure.sentence()) < 500


def test_a_log_file_is_read_whatever_its_bytes_and_may_be_missing(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_bytes(b"\xff\xfe odd bytes\nERROR: [Coretcl 2-106] Specified part could not be found.\n")
    failure = explain_log_file(log, 1)
    assert failure is not None
    assert failure.kind == "part_not_installed"
    missing = explain_log_file(tmp_path / "none.log", 2)
    assert missing is not None
    assert missing.kind == "unknown"
