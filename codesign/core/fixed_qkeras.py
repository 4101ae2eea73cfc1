"""QKeras' spellings of fixed-point formats, read and written as data: nothing here imports QKeras.

This is the one place where QKeras' integer bits, which leave the sign bit out, meet `ap_fixed`'s, which count it.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

from codesign.errors import ConversionError

# the parameters that decide the format, with their defaults; the first ones are in the order of QKeras
_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "quantized_bits": {
        "bits": 8,
        "integer": 0,
        "symmetric": 0,
        "keep_negative": True,
        "alpha": None,
        "use_stochastic_rounding": False,
        "qnoise_factor": 1.0,
    },
    "quantized_relu": {
        "bits": 8,
        "integer": 0,
        "use_sigmoid": 0,
        "negative_slope": 0.0,
        "use_stochastic_rounding": False,
        "relu_upper_bound": None,
        "is_quantized_clip": True,
        "qnoise_factor": 1.0,
    },
}
FLOAT32_BITS = 24
"""Bits of a whole number that float32, in which QKeras computes, holds exactly."""


def read_qkeras(quantizer: Any) -> dict[str, Any]:
    """Read the format of a QKeras quantizer.

    Parameters
    ----------
    quantizer
        A `quantized_bits` or `quantized_relu`; its serialized form ``{"class_name": ..., "config": {...}}``; or its
        text, ``quantized_bits(6, 0, alpha=1)``. An alpha of None counts as 1, as QKeras computes it; a layer gives
        such a kernel quantizer the alpha ``auto_po2``, which is refused.

    Returns
    -------
    dict
        The arguments of `FixedPoint`; rounding RND_CONV and overflow SAT (SAT_SYM if symmetric), as QKeras computes.

    Raises
    ------
    ConversionError
        For another quantizer, or one that computes more than a fixed-point format (a scale, a sigmoid, a slope,
        noise, the sign function of one bit).
    """
    name, given = _name_and_arguments(quantizer)
    if name not in _PARAMETERS:
        raise ConversionError(
            f"{name} is no fixed-point quantizer; accepted are {' and '.join(_PARAMETERS)}, as objects, "
            "serialized, or as text such as quantized_bits(6, 0, alpha=1)"
        )
    arguments = {**_PARAMETERS[name], **given}
    signed = bool(arguments.get("keep_negative", False))
    _refuse_more_than_a_format(name, arguments, signed)
    return {
        "width": _whole(name, arguments, "bits"),
        "integer_bits": _whole(name, arguments, "integer") + int(signed),
        "signed": signed,
        "rounding": "RND_CONV",
        "overflow": "SAT_SYM" if signed and arguments["symmetric"] else "SAT",
    }


def write_qkeras(arguments: Mapping[str, Any], relu: bool, spelled: str) -> dict[str, Any]:
    """Give the serialized QKeras quantizer that computes exactly what a format does.

    Parameters
    ----------
    arguments
        Those of a `FixedPoint`, by name, with rounding RND_CONV and overflow SAT or SAT_SYM.
    relu
        Give a `quantized_relu`, which is also the activation, for an unsigned format.
    spelled
        The format as it is called in errors.

    Returns
    -------
    dict
        ``{"class_name": ..., "config": {...}}``, which `qkeras.get_quantizer` takes.

    Raises
    ------
    ConversionError
        For other modes, for a ReLU with a signed format or negative integer bits (QKeras raises a whole 2 to them),
        for one signed bit (QKeras computes a sign there), and for more bits than QKeras' float32 holds.
    """
    width, integer_bits, signed, overflow = (
        arguments[name] for name in ("width", "integer_bits", "signed", "overflow")
    )
    if arguments["rounding"] != "RND_CONV" or overflow not in ("SAT", "SAT_SYM"):
        raise ConversionError(
            f"QKeras rounds to nearest even and saturates, so {spelled} has no QKeras form; use "
            "with_modes('RND_CONV', 'SAT')"
        )
    if width - signed > FLOAT32_BITS:
        raise ConversionError(
            f"QKeras computes in float32, which cannot hold {spelled}; "
            f"use at most {FLOAT32_BITS} bits without the sign"
        )
    config: dict[str, Any] = {"bits": width, "integer": integer_bits - signed}
    if relu:
        if signed:
            raise ConversionError(
                f"a ReLU's result needs an unsigned format, not {spelled}; give ufixed<...>"
            )
        if integer_bits < 0:
            raise ConversionError(
                f"QKeras cannot compute a quantized_relu with negative integer bits, {spelled}; use 0 or more"
            )
        if integer_bits > _RELU_INTEGER_BITS:
            raise ConversionError(
                f"QKeras cannot compute a quantized_relu with more than {_RELU_INTEGER_BITS} integer bits, {spelled}; scale the "
                "inputs of the network towards 1 (data.scaling)"
            )
        return {"class_name": "quantized_relu", "config": config}
    if signed and width == 1:
        raise ConversionError(f"QKeras computes the sign (-1 or 1) for {spelled}; use at least 2 bits")
    config |= {
        "symmetric": int(signed and overflow == "SAT_SYM"),
        "keep_negative": signed,
        "alpha": 1,
    }
    return {"class_name": "quantized_bits", "config": config}


_RELU_INTEGER_BITS = 30
"""QKeras raises 2 to them in int32."""


def _name_and_arguments(quantizer: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(quantizer, str):
        return _read_call(quantizer)
    if isinstance(quantizer, Mapping):
        return str(quantizer.get("class_name")), quantizer.get("config", {})
    name = type(quantizer).__name__
    return name, {
        key: getattr(quantizer, key) for key in _PARAMETERS.get(name, ()) if hasattr(quantizer, key)
    }


def _read_call(text: str) -> tuple[str, Mapping[str, Any]]:
    """Read `name(1, 2, key=3)` with literal arguments, without running it."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            values = [ast.literal_eval(value) for value in call.args]
            named = {str(key.arg): ast.literal_eval(key.value) for key in call.keywords}
            known = _PARAMETERS.get(call.func.id)
            if known is None:
                return call.func.id, {}
            order = [key for key in known if key != "qnoise_factor"]
            if len(values) <= len(order) and set(named) <= set(known):
                return call.func.id, {**dict(zip(order, values, strict=False)), **named}
    except (SyntaxError, ValueError):
        pass
    raise ConversionError(
        f"{text!r} is not a QKeras quantizer; write quantized_bits(bits, integer, alpha=1) "
        "or quantized_relu(bits, integer)"
    )


def _refuse_more_than_a_format(name: str, arguments: Mapping[str, Any], signed: bool) -> None:
    alpha = arguments.get("alpha")
    unwanted = {
        f"alpha={alpha!r}": alpha is not None and (isinstance(alpha, str) or alpha != 1),
        "use_stochastic_rounding": arguments["use_stochastic_rounding"],
        f"qnoise_factor={arguments['qnoise_factor']!r}": arguments["qnoise_factor"] != 1.0,
        "use_sigmoid": arguments.get("use_sigmoid"),
        f"negative_slope={arguments.get('negative_slope')!r}": arguments.get("negative_slope"),
        "is_quantized_clip=False": not arguments.get("is_quantized_clip", True),
        "one signed bit, the sign function": signed and arguments["bits"] == 1,
    }
    found = [what for what, present in unwanted.items() if present]
    if found:
        raise ConversionError(
            f"{name} with {', '.join(found)} computes more than a fixed-point format; "
            "use a quantizer without it, with alpha=1"
        )


def _whole(name: str, arguments: Mapping[str, Any], key: str) -> int:
    try:
        value = float(arguments[key])
    except (TypeError, ValueError):
        value = math.nan
    if not value.is_integer():
        raise ConversionError(f"{name}: {key} must be a whole number, not {arguments[key]!r}")
    return int(value)
