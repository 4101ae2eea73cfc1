"""Which stages of a run are not worth building, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codesign.core.task import Task

_FAR_BELOW = 0.1
"""The loss of quality against the teacher that is worth a word."""


def worth_notes(
    task: Task, reached: Mapping[str, float], targets: np.ndarray, tolerance: float
) -> tuple[str, ...]:
    """Sentences on stages whose network is not worth building, judged on the validation part.

    Parameters
    ----------
    task
        Its measure, and what a guess reaches.
    reached
        The measure by stage, in order; the first is the teacher's.
    targets
        Of the validation part: what so few samples cannot tell apart (two standard errors) is not said.
    tolerance
        The loss from one stage to the next that was accepted.
    """
    notes: list[str] = []
    stages, chance, where = list(reached), task.guess(targets), "on the validation samples"
    for number, (stage, quality) in enumerate(reached.items()):
        error = 2 * task.standard_error(quality, len(targets))
        teacher, before = reached[stages[0]], reached[stages[max(number - 1, 0)]]
        if quality < chance + task.much_better * (1 - chance):
            notes.append(
                f"{stage} is {task.knows_nothing}: {task.measure} {quality:.4f} {where}, and {task.a_guess} gets "
                f"{chance:.4f}; train longer, or give it more to learn with: this design is not worth building yet"
            )
        elif number and teacher - quality > _FAR_BELOW + error:
            notes.append(
                f"{stage} is far below its teacher: {task.measure} {quality:.4f} against {teacher:.4f} {where}"
            )
        elif number > 1 and before - quality > tolerance + error:
            notes.append(
                f"{stage} lost more than the tolerance of {tolerance:g}: {task.measure} {quality:.4f} {where} after {before:.4f}"
            )
    return tuple(notes)
