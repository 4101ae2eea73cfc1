"""The choices of a design's student, held against the function that builds it; loads no Keras."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from codesign.errors import did_you_mean


def choice_faults(signature: inspect.Signature, what: str, choices: Mapping[str, Any]) -> list[str]:
    """A sentence for each choice that a builder does not take, and for each that it needs and is not given.

    Parameters
    ----------
    signature
        Of the builder; its first two arguments are the shape and the number of outputs.
    what
        The builder, for the message.
    choices
        By name.
    """
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    arguments = list(signature.parameters.values())
    takes_all = any(argument.kind is inspect.Parameter.VAR_KEYWORD for argument in arguments)
    known = [argument for argument in arguments[2:] if argument.kind in by_name]
    names = [argument.name for argument in known]
    faults = []
    for name in choices:
        if name in names or (takes_all and name not in [argument.name for argument in arguments[:2]]):
            continue
        hint = did_you_mean(name, names, "it takes")
        faults.append(f"student.{name}: {what} takes no such choice; {hint}")
    faults += [
        f"student.{argument.name}: {what} needs this choice; give it, or give the argument a default"
        for argument in known
        if argument.default is inspect.Parameter.empty and argument.name not in choices
    ]
    return faults
