"""A trained model from a file and its data, as `codesign scan` and `convert` take them from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

DataOption = Annotated[
    str | None, typer.Option(help="For a model: digits, openml:<id>, or an .npz, .csv or .parquet file.")
]
LabelColumnOption = Annotated[str | None, typer.Option(help="The column or array of the labels or targets.")]
ScalingOption = Annotated[
    str | None,
    typer.Option(
        help="Of the features, as in the model's training: none, standard, minmax, shift or a number to divide by. Left out, "
        "the quality decides between none and the usual one."
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        help="classification, binary, multi_label, regression, reconstruction or score; of several heads a mapping: "
        "{kind: {task: classification}, pt: {task: regression}}."
    ),
]


def given_about_data(
    data: str | None, label_column: str | None, scaling: str | None, task: str | None
) -> dict[str, str]:
    """The options of the data that were typed, by the names of their settings."""
    about = {"source": data, "label_column": label_column, "scaling": scaling, "task": task}
    return {name: value for name, value in about.items() if value is not None}


def options_about_data(about: Mapping[str, str]) -> dict[str, str]:
    """What `given_about_data` gave, by the options that are typed."""
    return {f"--{name.replace('source', 'data').replace('_', '-')}": value for name, value in about.items()}


def is_run_folder(source: Path) -> bool:
    """Whether what was typed is the folder of a run and not a model; `DataError` if nothing is there."""
    from codesign.core.files import is_checkpoint, is_saved_model
    from codesign.errors import DataError

    if not source.exists() and not is_checkpoint(source):
        raise DataError(f"{source} does not exist; give a trained .keras or .h5 file, or the folder of a run")
    return source.is_dir() and not is_saved_model(source)


def require_given(source: Path, about: Mapping[str, Any]) -> None:
    """Refuse what can be refused before TensorFlow is loaded, which takes seconds.

    Raises
    ------
    DataError
        If nothing is there.
    SettingsError
        If it is a model, and the options name no data.
    """
    from codesign.errors import SettingsError

    if not is_run_folder(source) and "source" not in about:
        raise SettingsError(f"--data: missing; name the data that {source} was trained on")


def data_settings(about: Mapping[str, Any], source: Path, **sections: Any) -> Any:
    """The settings of a design that has the options' data (`source`, `label_column`, `scaling`, `task`).

    Raises
    ------
    SettingsError
        If the options name no data, or a value cannot be.
    """
    from codesign.core.yaml_text import read_assignments
    from codesign.settings import make_design

    require_given(source, about)
    data = dict(about)
    if "scaling" in data:
        data |= read_assignments([f"scaling={data['scaling']}"], "--scaling")
    if str(data.get("task", "")).startswith("{"):  # several heads
        data |= read_assignments([f"task={data['task']}"], "--task")
    return make_design({"name": "project", "data": data, **sections})


def refuse_data_options(about: Mapping[str, str], run: Path) -> None:
    """Raise `SettingsError` for options of data beside a run, which has its own."""
    from codesign.errors import SettingsError
    from codesign.stages import RUN

    if about:
        raise SettingsError(f"{run / RUN} names the data; leave out {', '.join(options_about_data(about))}")


def read_model(path: Path, data: Any) -> tuple[Any, Any]:
    """A Keras model and its data, scaled as asked or as its quality says that it was trained.

    Raises
    ------
    DataError
        If one cannot be read, they do not fit each other, or the scaling asked for is not that of the training.
    """
    from codesign.data import load_design_data
    from codesign.data.load import has_arrays
    from codesign.networks.design import check_fits
    from codesign.networks.joined import input_ports
    from codesign.networks.loading import load_model
    from codesign.networks.logits import ending_in_logits
    from codesign.terminal import say
    from codesign.training.given_teacher import (
        are_in_units,
        outputs_by_scaling,
        qualities_of,
        require_scaled_inputs,
    )

    model = load_model(path, "the student")
    names = tuple(port.name for port in input_ports(model))
    if len(names) > 1 and data.inputs is None and has_arrays(data, Path.cwd(), names):
        data = data.model_copy(update={"inputs": names})
    dataset = load_design_data(data, Path.cwd())
    check_fits(model, f"the student {path}", dataset.sample_shape, dataset.task)
    network = ending_in_logits(model)
    outputs = outputs_by_scaling(network, dataset)
    if are_in_units(outputs, dataset):
        # what the hardware computes is what the model does
        data = data.model_copy(update={"target_scaling": "none"})
        dataset = load_design_data(data, Path.cwd())
        say("The outputs are in the units of the data: the targets are not scaled")
    found = qualities_of(outputs, dataset)
    chosen = next(iter(found), None)
    if data.scaling != "auto":
        require_scaled_inputs(outputs, f"the student {path}", dataset)
    else:
        chosen = max(found, key=found.__getitem__, default=None)
        if chosen is not None and chosen != next(iter(found)):
            dataset = load_design_data(data.model_copy(update={"scaling": chosen}), Path.cwd())
        if chosen is not None:
            others = ", ".join(
                f"{quality:.4f} with {name}" for name, quality in found.items() if name != chosen
            )
            say(
                f"The features have the scaling {chosen}: {dataset.task.measure} {found[chosen]:.4f} on the validation part "
                f"({others}); --scaling decides otherwise"
            )
    if chosen is not None and not dataset.task.is_told(dataset.y_validation, outputs[chosen]):
        say(
            f"The student {path} knows no more of these data than a guess ({dataset.task.measure} {found[chosen]:.4f}): was it "
            "trained on other data, other classes or another scaling?"
        )
    return model, dataset
