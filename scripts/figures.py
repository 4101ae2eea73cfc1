"""The figures of README and docs: a record of what commands printed, pages that are held to it, and the commands run again.

    python scripts/figures.py                # every figure of a page stands in the record, in a study's page, or is no result
    python scripts/figures.py run digits     # run the command again and compare within the spread that is stated here
    python scripts/figures.py run rtl --write --data ~/data    # take what it printed into the record and the pages

`docs/figures.json` holds what each command printed and the versions it was printed with. Between two comments, "figures of NAME"
and "end of figures", a page has what `FIGURES` makes of the record, and nobody's typing; between "figures from PAGE" and the end
every number must stand in that page, which a study wrote. A number with a unit anywhere else must be named in the last table of
`docs/reproducing.md`, which says what it is.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import stdev

from write_constraints import versions

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "figures.json"
STUDIES = ("docs/compression-study.md", "docs/precision-study.md")
"""Pages of tables that a study wrote; `tests/studies` runs both on a small grid."""

DECIDING = ("tensorflow", "keras", "qkeras-v3", "hls4ml", "alkaid", "pyosys", "numpy", "scikit-learn")
"""The packages that a result depends on, whose versions stand beside it."""

Values = Mapping[str, float]


@dataclass(frozen=True)
class Figures:
    """What one command prints and where it stands.

    Parameters
    ----------
    page
        The page, relative to the repository.
    command
        The command; ``DATA/`` stands before the files that the repository does not have.
    read
        The figures in what it printed, by name.
    render
        The lines of the page.
    within
        How far a figure may lie from the record on another machine, by the end of its name: a share of its value where it ends
        with ``%``, else in its unit. What is not named must be equal.
    needs
        These files.
    peers
        Whether it trains another tool, in the environment that `make peers` builds.
    """

    page: str
    command: str
    read: Callable[[str], dict[str, float]]
    render: Callable[[Values], str]
    within: Mapping[str, str]
    needs: tuple[str, ...] = ()
    peers: bool = False


PEERS = ROOT / ".peers" / "bin" / "python"


def rows_of(printed: str) -> Iterator[list[str]]:
    """The cells of every row of the Markdown tables that a command printed."""
    for line in printed.splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def number(text: str) -> float:
    """A number as commands print it."""
    return float(text.replace(",", "").rstrip("%"))


def table(head: str, rows: Iterator[str]) -> str:
    """A table whose first column names and whose others count."""
    columns = head.count("|") + 1
    return "\n".join([f"| {head} |", "| --- |" + " ---: |" * (columns - 1), *(f"| {row} |" for row in rows)])


_SEED = re.compile(r"^(seed \d+): teacher (\S+), hardware (\S+), (\S+) LUTs, (\d+) mismatches$", re.MULTILINE)


def _read_digits(printed: str) -> dict[str, float]:
    found = {}
    for seed, *cells in _SEED.findall(printed):
        for name, cell in zip(("teacher", "hardware", "LUTs", "mismatches"), cells, strict=True):
            found[f"{seed} {name}"] = number(cell)
    return found


def _seeds(design: str, values: Values) -> str:
    def row(seed: str) -> str:
        teacher, hardware, luts, mismatches = (
            values[f"{seed} {name}"] for name in ("teacher", "hardware", "LUTs", "mismatches")
        )
        return f"{seed} | {teacher:.4f} | {hardware:.4f} | {luts:,.0f} | {mismatches:.0f}"

    seeds = dict.fromkeys(" ".join(name.split()[:2]) for name in values)
    head = f"`{design}` | teacher, test accuracy | hardware, test accuracy | LUTs by Yosys | mismatches"
    return table(head, map(row, seeds))


_KERNELS = re.compile(r"^(\w+): teacher (\S+), student (\S+), (\S+) BOPs$", re.MULTILINE)
_NAMED = {
    "tensorflow": "TensorFlow's own (the default here, `TF_ENABLE_ONEDNN_OPTS=0`)",
    "onednn": "oneDNN (`TF_ENABLE_ONEDNN_OPTS=1`)",
    "avx2": "oneDNN for older processors (`ONEDNN_MAX_CPU_ISA=AVX2` too)",
}


def _read_kernels(printed: str) -> dict[str, float]:
    return {
        f"{kernels} {name}": number(cell)
        for kernels, *cells in _KERNELS.findall(printed)
        for name, cell in zip(("teacher", "student", "BOPs"), cells, strict=True)
    }


def _kernels(values: Values) -> str:
    rows = (
        f"{text} | {values[f'{name} teacher']:.4f} | {values[f'{name} student']:.4f} | {values[f'{name} BOPs']:,.0f}"
        for name, text in _NAMED.items()
    )
    students = stdev(values[f"{name} student"] for name in _NAMED)
    bops = [values[f"{name} BOPs"] for name in _NAMED]
    return (
        table("kernels | teacher, test | quantized student, test | BOPs", rows)
        + f"\n\nThe spread of the student is {students:.4f} (standard deviation), that of the BOPs "
        + f"{stdev(bops) / (sum(bops) / len(bops)):.1%}."
    )


_RTL = {
    "lut": "LUTs by Yosys",
    "estimated_lut": "alkaid's estimate of LUTs",
    "ff": "FF",
    "carry8": "CARRY8",
    "dsp": "DSP",
    "latency_cycles": "latency in cycles",
    "latency_ns": "latency in ns",
    "mismatches": "differing samples of g++, interpreter and simulation",
}


def _read_rtl(printed: str) -> dict[str, float]:
    return {
        f"{network} {name}": number(cell)
        for name, *cells in rows_of(printed)
        if name in _RTL
        for network, cell in zip(("dense", "pruned"), cells, strict=True)
    }


def _rtl(values: Values) -> str:
    def row(name: str, text: str) -> str:
        return f"{text} | " + " | ".join(
            f"{values[f'{network} {name}']:,.0f}" for network in ("dense", "pruned")
        )

    ratio = " | ".join(
        f"{values[f'{network} lut'] / values[f'{network} estimated_lut']:.3f}"
        for network in ("dense", "pruned")
    )
    rows = [row(name, text) for name, text in _RTL.items()]
    return table(" | dense | pruned to 20 %", iter([*rows[:2], f"Yosys / estimate | {ratio}", *rows[2:]]))


_POLISH = ("LUT", "validation", "test", "live weights", "digits a live weight")


def _read_polish(printed: str) -> dict[str, float]:
    return {
        f"{row}: {name}": number(cell)
        for row, *cells in rows_of(printed)
        if row != "tolerance"
        for name, cell in zip(_POLISH, cells, strict=False)
    }


def _polish(values: Values) -> str:
    def row(name: str) -> str:
        luts, validation, test, live, digits = (values[f"{name}: {column}"] for column in _POLISH)
        return f"{name} | {luts:,.0f} | {validation:.2%} | {test:.2%} | {live:.0f} | {digits:.2f}".replace(
            "%", " %"
        )

    names = dict.fromkeys(name.split(":")[0] for name in values)
    return table("tolerance | " + " | ".join(_POLISH), map(row, names))


def _read_frontier(printed: str) -> dict[str, float]:
    ratios: dict[str, list[float]] = {}
    found = {}
    for data, _, level, *cells in rows_of(printed):
        if level == "geometric mean":
            found |= {
                f"{data} mean": number(cells[-1]),
                f"{data} least": min(ratios[data]),
                f"{data} most": max(ratios[data]),
            }
        elif level.endswith("%") and cells[-1] != "-":
            ratios.setdefault(data, []).append(number(cells[-1]))
    return found


def _frontier(values: Values) -> str:
    def row(data: str) -> str:
        mean, least, most = (values[f"{data} {name}"] for name in ("mean", "least", "most"))
        return f"{data} | {mean:.2f} | {least:.2f} to {most:.2f}"

    sets = dict.fromkeys(name.split()[0] for name in values)
    return table("data | learned widths / HGQ2 | single accuracies", map(row, sets))


_HALF = 0.5
"""What the ratio ought to be at most after short trainings."""


def _tenth(values: Values) -> str:
    def row(data: str) -> str:
        mean, least, most = (values[f"{data} {name}"] for name in ("mean", "least", "most"))
        return f"{data} | {mean:.2f} | {least:.2f} to {most:.2f} | {'yes' if mean <= _HALF else 'no'}"

    sets = dict.fromkeys(name.split()[0] for name in values)
    return table(f"data | learned widths / HGQ2 | single accuracies | at most {_HALF:g}", map(row, sets))


def _read_ablation(printed: str) -> dict[str, float]:
    return {
        f"{instead}: {name}": number(cell)
        for instead, _, *cells in rows_of(printed)
        for name, cell in zip(("LUTs", "least", "most", "missed"), cells, strict=False)
        if instead != "instead" and cell != "-"
    }


def _ablation(values: Values) -> str:
    def row(name: str) -> str:
        mean, least, most = (values.get(f"{name}: {part}") for part in ("LUTs", "least", "most"))
        shown = "- | -" if mean is None else f"{mean:.2f} | {least:.2f} to {most:.2f}"
        return f"{name} | {shown} | {values[f'{name}: missed']:.0f}"

    names = dict.fromkeys(name.rsplit(": ", 1)[0] for name in values)
    return table("instead | LUTs, whole method = 1 | single accuracies | not reached", map(row, names))


_SEARCH = {
    "last tenth ms a run": "a run, ms",
    "of it cpu ms": "of it CPU, ms",
    "coordinator mb": "memory, MB",
    "begun again s": "begun again, s",
    "status s": "`status`, s",
    "page s": "page, s",
    "page mb": "page, MB",
    "journal mb": "journal, MB",
    "ledger mb": "ledger, MB",
}


def _read_columns(columns: Mapping[str, str], printed: str) -> dict[str, float]:
    """Of a table some columns, by what stands in its first and by their heads."""
    head, *rows = rows_of(printed)
    return {
        f"{first}: {name}": number(cell)
        for first, *cells in rows
        for name, cell in zip(head[1:], cells, strict=True)
        if name in columns
    }


def _columns(first: str, columns: Mapping[str, str], values: Values) -> str:
    """The table of what `_read_columns` read, with the page's heads."""
    return table(
        f"{first} | " + " | ".join(columns.values()),
        (
            f"{row} | " + " | ".join(f"{values[f'{row}: {name}']:,.4g}" for name in columns)
            for row in dict.fromkeys(name.split(":")[0] for name in values)
        ),
    )


_BUSY = {
    "efficiency": "busy, share of workers x wall",
    "idle at the end": "of the rest: nothing left to do",
    "between ms": "between two trials, ms",
    "coordinator cpu ms a trial": "coordinator, CPU ms a trial",
}

_PAYS = (
    "trained trials",
    "LUTs by hand",
    "LUTs found",
    "share",
    "validation by hand",
    "validation found",
    "test by hand",
    "test found",
)


def _read_pays(printed: str) -> dict[str, float]:
    _, *rows = rows_of(printed)
    return {
        f"{data}, {sampler}: {name}": number(cell)
        for data, sampler, *cells in rows
        for name, cell in zip(_PAYS, cells, strict=True)
        if cell not in ("", "none")
    }


def _pays(values: Values) -> str:
    def cell(search: str, name: str) -> str:
        value = values.get(f"{search}: {name}")
        form = ",.0f" if "LUTs" in name or "trials" in name else ".2f" if name == "share" else ".4f"
        return "none" if value is None else format(value, form)

    return table(
        "data, sampler | " + " | ".join(_PAYS),
        (
            f"{search} | " + " | ".join(cell(search, name) for name in _PAYS)
            for search in dict.fromkeys(name.split(":")[0] for name in values)
        ),
    )


_QUALITY = "0.0084"
"""Three standard deviations of what other kernels change (docs/reproducing.md)."""

_PAYS_WITHIN = {
    "LUTs by hand": "15%",
    "LUTs found": "30%",
    "share": "30%",
    "by hand": "0.03",
    "found": "0.03",
}

FIGURES: Mapping[str, Figures] = {
    "digits": Figures(
        "README.md",
        "python scripts/quality_over_seeds.py models/digits --seeds 3",
        _read_digits,
        partial(_seeds, "models/digits"),
        {"teacher": _QUALITY, "hardware": "0.0168", "LUTs": "10%"},
    ),
    "cnn": Figures(
        "docs/smallest.md",
        "python scripts/quality_over_seeds.py models/cnn --seeds 3",
        _read_digits,
        partial(_seeds, "models/cnn"),
        {"teacher": _QUALITY, "hardware": "0.03", "LUTs": "15%"},
    ),
    "cnn-learned": Figures(
        "docs/smallest.md",
        "python scripts/quality_over_seeds.py models/cnn --seeds 3 --name learned --set quantization.method=learned "
        "quantization.learned.steps=20000 quantization.polish=true",
        _read_digits,
        partial(_seeds, "models/cnn, learned and polished"),
        {"teacher": _QUALITY, "hardware": "0.03", "LUTs": "40%"},
    ),
    "kernels": Figures(
        "docs/reproducing.md",
        "python scripts/quality_over_kernels.py models/tiny",
        _read_kernels,
        _kernels,
        {"teacher": _QUALITY, "student": "0.043", "BOPs": "20%"},
    ),
    "rtl": Figures("docs/rtl.md", "python scripts/bench_rtl.py", _read_rtl, _rtl, {}),
    "polish": Figures(
        "docs/compression.md",
        "python scripts/bench_polish.py --data DATA/pendigits.npz --tolerances 0.005,0.01",
        _read_polish,
        _polish,
        {
            "validation": _QUALITY,
            "test": _QUALITY,
            "LUT": "30%",
            "live weights": "30%",
            "digits a live weight": "15%",
        },
        ("pendigits.npz",),
    ),
    "frontier": Figures(
        "docs/smallest.md",
        "python scripts/bench_frontier.py --data DATA/magic_gamma.npz DATA/dry_bean.npz DATA/pendigits.npz "
        "--peer DATA/hgq2_points.json --levels DATA/levels.json",
        _read_frontier,
        _frontier,
        {"mean": "25%", "least": "60%", "most": "60%"},
        ("magic_gamma.npz", "dry_bean.npz", "pendigits.npz", "hgq2_points.json", "levels.json"),
    ),
    "tenth": Figures(
        "docs/smallest.md",
        "python scripts/bench_frontier.py --data DATA/magic_gamma.npz DATA/dry_bean.npz DATA/pendigits.npz "
        "--levels DATA/levels.json --hidden 32-16 --steps 12000 --seeds 0 --peer-python .peers/bin/python --peer-hidden 32-16 "
        "--peer-set alpha=0.1 learning-rate=0.06",
        _read_frontier,
        _tenth,
        {"mean": "40%", "least": "80%", "most": "80%"},
        ("magic_gamma.npz", "dry_bean.npz", "pendigits.npz", "levels.json"),
        peers=True,
    ),
    "tenth-authors": Figures(
        "docs/smallest.md",
        "python scripts/bench_frontier.py --data DATA/magic_gamma.npz DATA/dry_bean.npz DATA/pendigits.npz "
        "--levels DATA/levels.json --hidden 32-16 --steps 12000 --seeds 0 --peer-python .peers/bin/python --peer-hidden 32-16 "
        "--peer-set alpha=0.1 learning-rate=0.005",
        _read_frontier,
        _tenth,
        {"mean": "40%", "least": "80%", "most": "80%"},
        ("magic_gamma.npz", "dry_bean.npz", "pendigits.npz", "levels.json"),
        peers=True,
    ),
    "ablation": Figures(
        "docs/smallest.md",
        "python scripts/bench_frontier.py --data DATA/pendigits.npz --levels DATA/levels.json --hidden 32-16 "
        "--steps 12000 --seeds 0 1 2 --ablation",
        _read_ablation,
        _ablation,
        {"LUTs": "25%", "least": "60%", "most": "60%", "missed": "4"},
        ("pendigits.npz", "levels.json"),
    ),
    "search": Figures(
        "docs/search.md",
        "python scripts/bench_search.py --part coordinator --samplers 'random,random with pruner,nsga2'",
        partial(_read_columns, _SEARCH),
        partial(_columns, "sampler", _SEARCH),
        {"mb": "50%", "run": "400%", "s": "400%"},
    ),
    "busy": Figures(
        "docs/search.md",
        "python scripts/bench_search.py --part workers --workers 1,2,4,8,16,64 --seconds 20 --each 30",
        partial(_read_columns, _BUSY),
        partial(_columns, "workers", _BUSY),
        {"efficiency": "15%", "end": "0.1", "ms": "400%"},
    ),
    "pays": Figures(
        "docs/search.md",
        "python scripts/bench_search_pays.py --design models/digits --data digits --data DATA/dry_bean.npz --trials 6 "
        "--steps 12000",
        _read_pays,
        _pays,
        _PAYS_WITHIN,
        ("dry_bean.npz",),
    ),
    "pays-pendigits": Figures(
        "docs/search.md",
        "python scripts/bench_search_pays.py --design models/digits --data DATA/pendigits.npz --trials 12 --steps 12000",
        _read_pays,
        _pays,
        _PAYS_WITHIN,
        ("pendigits.npz",),
    ),
}
"""Every command whose figures stand in a page.

Trained qualities and what follows from them may differ between machines by what is stated; what follows from weights may not.
"""


def commands() -> str:
    """The table of the commands, and how far their figures may move."""

    def row(name: str, figures: Figures) -> str:
        within = ", ".join(f"{what} {text}" for what, text in figures.within.items()) or "nothing"
        return f"`{name}` | `{figures.page}` | `{shown_command(figures)}` | {within}"

    head = ["| figures | page | command | may differ between machines by |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(f"| {row(name, figures)} |" for name, figures in FIGURES.items())])


def shown_command(figures: Figures) -> str:
    """The command as a page names it."""
    return figures.command.replace("DATA/", "")


def read_record() -> dict[str, dict[str, object]]:
    """What the commands printed, by their names."""
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))


def values_of(entry: Mapping[str, object]) -> Values:
    """The figures of an entry of the record."""
    values = entry["figures"]
    assert isinstance(values, dict)
    return values


_BLOCK = re.compile(r"<!-- figures (of|from) (\S+) -->\n(.*?)\n?<!-- end of figures -->", re.DOTALL)


def with_figures(text: str, record: Mapping[str, Mapping[str, object]]) -> str:
    """A page with the figures of the record in their places."""

    def filled(match: re.Match[str]) -> str:
        kind, name, _ = match.groups()
        if kind == "from":
            return match[0]
        shown = commands() if name == "commands" else FIGURES[name].render(values_of(record[name]))
        return f"<!-- figures of {name} -->\n\n{shown}\n\n<!-- end of figures -->"

    return _BLOCK.sub(filled, text)


def pages() -> dict[str, Path]:
    """README and docs, by their names."""
    return {
        path.relative_to(ROOT).as_posix(): path
        for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    }


def faults() -> list[str]:
    """What is wrong in README and docs, one sentence each."""
    record, found = read_record(), []
    texts = {name: path.read_text(encoding="utf-8") for name, path in pages().items()}
    if set(record) != set(FIGURES):
        found.append(f"docs/figures.json has {', '.join(sorted(record))}, not {', '.join(sorted(FIGURES))}")
        return found
    for name, figures in FIGURES.items():
        if f"<!-- figures of {name} -->" not in texts[figures.page]:
            found.append(f"{figures.page} has no place for the figures of {name}")
        if shown_command(figures) not in " ".join(texts[figures.page].split()):
            found.append(f"{figures.page} does not name the command of {name}: {shown_command(figures)}")
        if record[name]["command"] != figures.command:
            found.append(f"the record of {name} was printed by another command: run it again")
    given = given_numbers(texts["docs/reproducing.md"])
    for name, text in texts.items():
        if with_figures(text, record) != text:
            found.append(f"{name} has other figures than docs/figures.json: python scripts/figures.py write")
        if name not in STUDIES:
            phrases = [phrase for page, phrase in given if page == name]
            found += typed_numbers(name, text.split(_GIVEN)[0], phrases)
            found += [
                f"{name} no longer says {phrase!r}"
                for phrase in phrases
                if phrase not in " ".join(text.split())
            ]
        for kind, source, block in _BLOCK.findall(text):
            if kind == "from":
                found += foreign_numbers(name, source, block, texts[f"docs/{source}"])
    return found


_GIVEN = "## Numbers that are no results of this repository"


def given_numbers(text: str) -> list[tuple[str, str]]:
    """The page and the words of each row of the last table of docs/reproducing.md."""
    rows = [row for row in rows_of(text.split(_GIVEN)[1]) if row[0] != "page"]
    return [(page, words) for page, words, _ in rows]


_UNIT = (
    r"(?:LUTs?|FFs?|BOPs|EBOPs|DSPs?|%|percent|points|minutes?|min|seconds?|s|ms|hours?|h|times (?:fewer|faster|slower|as)|"
    r"GB|MB|kB|mismatch\w*|samples/s|vectors/s|values|mutants|cycles)\b"
)
_RESULT = re.compile(
    rf"(?!3\.1\d\b)(?<![\w.,:/-])(?:[-+]?\d[\d,]*(?:[ .]\d+)*\s?(?:{_UNIT}|%)|\d\.\d{{2,}}(?!\d*[-\w]))"
)
"""A number with a unit, or with two digits behind the point; versions of Python are none."""


def typed_numbers(page: str, text: str, phrases: list[str]) -> list[str]:
    """Numbers that look like results and stand outside of figures, code and links."""
    text = _BLOCK.sub(lambda match: "\n" * match[0].count("\n"), text)
    text = re.sub(
        r"^```.*?^```$", lambda match: "\n" * match[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL
    )
    text = re.sub(r"\]\([^)]*\)|`[^`\n]*`|arXiv:[\d.]+", " ", text)
    kept = []
    for line in text.splitlines():
        kept.append("" if line.startswith("    ") else line)
    whole = " ".join(" ".join(kept).split())
    for phrase in phrases:
        whole = whole.replace(
            re.sub(r"\s+", " ", re.sub(r"\]\([^)]*\)|`[^`\n]*`|arXiv:[\d.]+", " ", phrase)), " "
        )
    return [
        f"{page}: {match[0]!r} in {whole[max(0, match.start() - 40) : match.end() + 20]!r} stands outside of figures"
        for match in _RESULT.finditer(whole)
    ]


_NUMBER = re.compile(r"(?<![\w.,-])[-+]?\d[\d,]*(?:\.\d+)?(?![\w-]|\.\d|,\d)")


def foreign_numbers(page: str, source: str, block: str, text: str) -> list[str]:
    """Numbers of a block that its source does not have, rounded as the block rounds."""
    printed = [number(word) for word in re.findall(r"\d[\d,]*(?:\.\d+)?", text) if word.strip(",")]
    block = re.sub(r"\]\([^)]*\)|`[^`\n]*`", " ", block)
    found = []
    for word in _NUMBER.findall(block):
        value, digits = abs(number(word)), len(word.partition(".")[2])
        if not any(abs(round(one, digits) - value) < 10.0 ** -(digits + 1) for one in printed):
            found.append(f"{page}: {word} is not in {source}")
    return found


def run(name: str, folders: Sequence[Path] = ()) -> tuple[Values, list[str]]:
    """Run a command again; its figures, and how they differ from the record beyond the stated spread."""
    figures, entry = FIGURES[name], read_record().get(name)
    files = {
        f"DATA/{file}": folder / file
        for file in figures.needs
        for folder in folders
        if (folder / file).is_file()
    }
    if missing := [file for file in figures.needs if f"DATA/{file}" not in files]:
        raise SystemExit(f"{name} needs {', '.join(missing)}: give their folders with --data")
    if figures.peers and not PEERS.is_file():
        raise SystemExit(f"{name} needs {PEERS.relative_to(ROOT)}: make peers builds it")
    words = [str(files.get(word, word)) for word in shlex.split(figures.command)]
    print(f"{name}: {shlex.join(words)}", flush=True)
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    print(done.stdout, flush=True)
    values = figures.read(done.stdout)
    if not values:
        raise SystemExit(f"{name}: the command ended with {done.returncode} and printed no figure")
    return values, [] if entry is None else differences(name, values_of(entry), values)


def differences(name: str, kept: Values, values: Values) -> list[str]:
    """How figures differ from the record beyond the stated spread."""
    if set(kept) != set(values):
        return [f"{name}: has the figures {', '.join(values)}, not {', '.join(kept)}"]
    found = []
    for figure, value in values.items():
        text = next((text for end, text in FIGURES[name].within.items() if figure.endswith(end)), "0")
        most = abs(kept[figure]) * number(text) / 100 if text.endswith("%") else float(text)
        if abs(value - kept[figure]) > most + 1e-12:
            found.append(
                f"{name}: {figure} is {value:g}, in the record {kept[figure]:g}, stated spread {text}"
            )
    return found


def write_pages() -> None:
    """Put the record's figures into the pages."""
    record = read_record()
    for path in pages().values():
        text = path.read_text(encoding="utf-8")
        if (filled := with_figures(text, record)) != text:
            path.write_text(filled, encoding="utf-8")


def take(name: str, values: Values) -> None:
    """Take what a command printed into the record."""
    record = read_record() if RECORD.is_file() else {}
    installed = versions()
    record[name] = {
        "command": FIGURES[name].command,
        "versions": {package: installed[package] for package in DECIDING if package in installed},
        "figures": dict(values),
    }
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=False) + "\n", encoding="utf-8")


def main(words: list[str] | None = None) -> int:
    """Check the pages, or run commands again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("check", "run", "write"), nargs="?", default="check")
    parser.add_argument(
        "names", nargs="*", help=f"of {', '.join(FIGURES)}; all that can run if none is given"
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[], help="folders of files that the repository does not have"
    )
    parser.add_argument(
        "--write", action="store_true", help="take what is printed into the record and the pages"
    )
    asked = parser.parse_args(words)
    found = []
    if asked.what == "run":
        if unknown := [name for name in asked.names if name not in FIGURES]:
            parser.error(f"no figures are called {unknown[0]}; there are {', '.join(FIGURES)}")
        for name in asked.names or [
            name
            for name, figures in FIGURES.items()
            if (asked.data or not figures.needs) and (PEERS.is_file() or not figures.peers)
        ]:
            values, differ = run(name, asked.data)
            if asked.write:
                take(name, values)
            else:
                found += differ
    if asked.what == "write" or asked.write:
        write_pages()
    if asked.what == "check":
        found = faults()
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
