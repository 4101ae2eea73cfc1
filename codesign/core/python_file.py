"""A user's Python file as a module: the networks of a design, its data."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from codesign.errors import PythonFileError


def run_python_file(path: Path, name: str) -> ModuleType:
    """Run a file and give what it defines.

    Parameters
    ----------
    path
        The file; read anew each time.
    name
        What the module is called in tracebacks.

    Raises
    ------
    PythonFileError
        If the file raises; the original exception is the cause.
    """
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        # not through the import system: its cache takes a file changed within a second for the old one
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PythonFileError(f"{path} raised {type(error).__name__}: {error}") from error
    return module
