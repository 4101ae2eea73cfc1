"""Mutate a room of the package and say which mutants no test of that room kills.

    python scripts/mutate.py cost
    python scripts/mutate.py core --only 'codesign/core/rounding.py' --children 2
    python scripts/mutate.py reports --sample 120 --seed 0

mutmut changes one operator, constant or argument at a time in a copy of the repository and runs the tests that reach
the changed function. A mutant that survives shows something that no test looks at, or something that makes no
difference. The second kind is listed with its reason in `tests/mutants/ROOM.yaml`; any other survivor is printed,
and the exit code is 1. A large room is tried by a sample of its mutants, drawn with a seed.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

ROOMS = ("core", "cost", "networks", "reports", "emulation")

COPIED = ("models", "scripts", "studies", "docs", "README.md", "LICENSE", "CHANGELOG.md", "Makefile")

CONFIGURATION = """
[tool.mutmut]
source_paths = ["codesign"]
only_mutate = {only}
also_copy = {copied}
pytest_add_cli_args = ["-m", "not slow and not vendor", "-p", "no:xdist", "-x", {ignored}]
pytest_add_cli_args_test_selection = {tests}
process_isolation = "forkserver"
debug = true
timeout_constant = 60.0  # seconds of the processor: the second, its default, is gone before TensorFlow is loaded
"""

LEFT_OUT = ("tests/core/test_fixed_point_headers.py", "tests/core/test_interrupt.py")
"""Not run: one tries every format against compiled headers, many minutes in code that is watched; the other interrupts
processes at steps that mutmut's own calls come between."""

_NONE = "no-mutant-has-this-name"
_NOTHING = "nothing matches"
_SPINNER = tuple("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test killed.

    Parameters
    ----------
    name
        mutmut's name: module, function and number.
    before, after
        The changed lines.
    """

    name: str
    before: str
    after: str

    @property
    def function(self) -> str:
        """Module and function, without mutmut's prefixes and number."""
        bare = re.sub(r"__mutmut_\d+$", "", self.name)
        return re.sub(r"\.x[_ǁ]", ".", bare).replace("ǁ", ".")


@dataclass(frozen=True)
class Reason:
    """Why mutants of one form may live: regular expressions of function, line before and after, and the reason."""

    function: str
    before: str
    after: str
    reason: str

    def explains(self, survivor: Survivor) -> bool:
        """Whether a survivor is of this form."""
        return all(
            re.search(pattern, text, re.DOTALL)
            for pattern, text in (
                (self.function, survivor.function),
                (self.before, survivor.before),
                (self.after, survivor.after),
            )
        )


def read_reasons(room: str) -> list[Reason]:
    """The listed reasons of a room and those that hold everywhere."""
    found = []
    for name in ("everywhere", room):
        path = ROOT / "tests" / "mutants" / f"{name}.yaml"
        for entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or []) if path.is_file() else []:
            found.append(
                Reason(
                    entry.get("function", ""),
                    entry.get("before", ""),
                    entry.get("after", ""),
                    entry["reason"],
                )
            )
    return found


def run_mutmut(
    only: list[str], tests: list[str], children: int, names: list[str], sample: int | None, seed: int
) -> list[Survivor]:
    """Run mutmut in a copy of the repository; with `sample` only so many mutants, drawn with `seed`.

    Raises
    ------
    SystemExit
        The tests fail without any mutant, or mutmut itself ended early.
    """
    with tempfile.TemporaryDirectory(prefix="codesign-mutants-") as folder:
        copy = Path(folder) / "codesign"
        copy.mkdir()
        for name in ("codesign", "tests", "pyproject.toml", *COPIED):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        for path in (copy / "codesign").rglob("*.py"):
            path.write_text(with_constructors_kept(path.read_text(encoding="utf-8")), encoding="utf-8")
        with (copy / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(
                CONFIGURATION.format(
                    only=only,
                    copied=list(COPIED),
                    tests=tests,
                    ignored=", ".join(f"'--ignore={name}'" for name in LEFT_OUT),
                ).replace("'", '"')
            )
        environment = {**os.environ, "PYTHONPATH": "", "COLUMNS": "100"}
        mutmut = [str(Path(sys.executable).with_name("mutmut"))]

        def run(asked: list[str]) -> tuple[int, str]:
            """Run mutmut; its exit code and what it printed."""
            ended = subprocess.run(
                [*mutmut, "run", "--max-children", str(children), *asked],
                cwd=copy,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            text = ended.stdout.decode("utf-8", "replace").replace("\r", "\n")
            return ended.returncode, "\n".join(line for line in text.splitlines() if line[:1] not in _SPINNER)

        if sample is not None:
            _, text = run([_NONE])  # makes the mutants and finds the tests of each, then has none to try
            if _NOTHING not in text:
                sys.exit(f"mutmut ended early:\n{text[-3000:]}")
            every = _mutants(copy / "mutants", names)
            names = sorted(random.Random(seed).sample(every, min(sample, len(every))))
            print(f"{len(names)} of {len(every)} mutants, seed {seed}")
        code, text = run(names)
        if code or "mutations/second" not in text:
            sys.exit(f"mutmut ended early:\n{text[-3000:]}")
        print(next(line for line in reversed(text.splitlines()) if "mutations/second" in line))
        listed = _output([*mutmut, "results"], copy, environment)
        survivors = []
        for line in listed.splitlines():
            name, _, status = line.strip().partition(": ")
            if status in ("survived", "no tests"):
                survivors.append(_survivor(name, _output([*mutmut, "show", name], copy, environment)))
        return survivors


def with_constructors_kept(source: str) -> str:
    """The code with a word to mutmut that derived classes' constructors stay: Keras reads the arguments of a layer's.

    mutmut's wrapper has no arguments that a look at the signature finds, and no layer could be made.
    """
    lines = source.splitlines(keepends=True)
    for found in ast.walk(ast.parse(source)):
        if isinstance(found, ast.ClassDef) and found.bases:
            for method in found.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    last = next(
                        number
                        for number in range(method.lineno - 1, method.body[0].lineno)
                        if lines[number].rstrip().endswith(":")
                    )
                    lines[last] = lines[last].rstrip() + "  # pragma: no mutate block\n"
    return "".join(lines)


def _mutants(folder: Path, patterns: list[str]) -> list[str]:
    """The names of all mutants that mutmut has made and a pattern fits; all without a pattern."""
    made = [
        name
        for path in sorted(folder.rglob("*.meta"))
        for name in json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    ]
    return sorted(
        name for name in made if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    )


def _output(command: list[str], cwd: Path, environment: dict[str, str]) -> str:
    """What a command prints."""
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=True
    ).stdout


def _survivor(name: str, diff: str) -> Survivor:
    """The changed lines of a mutant from its diff."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "#"))]
    return Survivor(
        name,
        "\n".join(line[1:].strip() for line in lines if line.startswith("-")),
        "\n".join(line[1:].strip() for line in lines if line.startswith("+")),
    )


def main() -> None:
    """Mutate and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument(
        "--only", action="append", help="a pattern of files; the whole room without it", default=[]
    )
    parser.add_argument(
        "--tests", action="append", help="tests to run; those of the room without it", default=[]
    )
    parser.add_argument("--children", type=int, default=1, help="mutants tried side by side")
    parser.add_argument("--sample", type=int, help="try only so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("names", nargs="*", help="patterns of mutants; all without them")
    arguments = parser.parse_intermixed_args()
    survivors = run_mutmut(
        arguments.only or [f"codesign/{arguments.room}/*"],
        arguments.tests or [f"tests/{arguments.room}"],
        arguments.children,
        arguments.names,
        arguments.sample,
        arguments.seed,
    )
    reasons = read_reasons(arguments.room)
    unexplained = [one for one in survivors if not any(reason.explains(one) for reason in reasons)]
    print(f"{len(survivors)} survive, {len(survivors) - len(unexplained)} of them for a listed reason")
    for one in unexplained:
        print(f"\n{one.name}\n  - {one.before}\n  + {one.after}")
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
