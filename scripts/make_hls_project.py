"""The former place of `codesign convert`, kept for scripts that call it: SOURCE OUTPUT and that command's options."""

from __future__ import annotations

import argparse
import sys

from codesign.cli import main
from codesign.cli.converting import load_student as load

__all__ = ["load_student"]


def load_student(arguments: argparse.Namespace, hardware: dict[str, object]):
    """The student, its data and the hardware settings, from parsed arguments."""
    about = {"source": arguments.data, "scaling": getattr(arguments, "scaling", None)}
    given = {name: value for name, value in about.items() if value is not None}
    return load(arguments.source, given, hardware, input_format=getattr(arguments, "input_format", None))


if __name__ == "__main__":
    if len(sys.argv) > 2 and not sys.argv[2].startswith("-"):
        sys.argv.insert(2, "--output")
    sys.argv.insert(1, "convert")
    main()
