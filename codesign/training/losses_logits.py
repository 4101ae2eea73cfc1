"""Further losses on logits: decoupled distillation, logits matching, and the sigmoid forms for several labels at once.

Every function takes tensors of any back end and float type and returns one value for each sample.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from codesign.training.losses import soft_loss


def logits_loss(teacher_logits: Any, logits: Any) -> Any:
    """Mean squared difference of the logits, shape `(n,)`: logits matching (Ba and Caruana, arXiv:1312.6184, eq. 1).

    Hinton's loss tends to half of it, up to the logits' means, as the temperature grows (arXiv:1503.02531, eq. 4).
    """
    return ops.mean(ops.square(logits - teacher_logits), axis=-1)


def decoupled_loss(
    labels: Any,
    teacher_logits: Any,
    logits: Any,
    temperature: float,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Any:
    """Decoupled distillation `T^2 (a TCKD + b NCKD)`, shape `(n,)` (Zhao et al., arXiv:2203.08679, eq. 7).

    TCKD compares the probabilities of the label's class against all others, NCKD the distributions among the others.
    Hinton's loss is `TCKD + (1 - p_label) NCKD` (eq. 6): a confident teacher hides what it knows of the other classes,
    and the constant `b` uncovers it.

    Parameters
    ----------
    labels
        Class indices, shape `(n,)`.
    teacher_logits, logits
        Shape `(n, n_outputs)`; with one output only TCKD is left, for there is one other class.
    temperature
        Of both softmaxes.
    target_weight, other_weight
        `a` and `b`.
    """
    if logits.shape[-1] == 1:
        return target_weight * soft_loss(teacher_logits, logits, temperature)
    n_outputs = logits.shape[-1]
    target = ops.cast(ops.one_hot(ops.cast(labels, "int32"), n_outputs), "bool")
    log_p = ops.log_softmax(teacher_logits / temperature)
    log_q = ops.log_softmax(logits / temperature)
    target_kl = ops.sum(
        _split(log_p, target, ops.exp) * (_split(log_p, target) - _split(log_q, target)), axis=-1
    )
    log_p, log_q = (
        _among_others(teacher_logits / temperature, target),
        _among_others(logits / temperature, target),
    )
    # the masked entries are equal on both sides and count nothing
    other_kl = ops.sum(ops.where(target, 0.0, ops.exp(log_p) * (log_p - log_q)), axis=-1)
    return temperature**2 * (target_weight * target_kl + other_weight * other_kl)


def hard_labels_loss(labels: Any, logits: Any) -> Any:
    """Binary cross entropy of independent labels, mean over the outputs, shape `(n,)`.

    Parameters
    ----------
    labels
        0 or 1, shape `(n, n_outputs)`.
    logits
        Shape `(n, n_outputs)`.
    """
    # -y log s(z) - (1 - y) log s(-z), without the overflow of either
    labels = ops.cast(labels, logits.dtype)
    return ops.mean(ops.softplus(logits) - labels * logits, axis=-1)


def soft_labels_loss(teacher_logits: Any, logits: Any, temperature: float) -> Any:
    """`T^2` times the mean over the outputs of the Bernoulli divergences `KL(p_T || q_T)`, shape `(n,)`.

    The sigmoid form of `codesign.training.losses.soft_loss`, to which it is equal for one output.
    """
    z_p, z_q = teacher_logits / temperature, logits / temperature
    p = ops.sigmoid(z_p)
    # log s(z) = -softplus(-z); the entropies share p, so only differences of softplus are left
    kl = p * (ops.softplus(-z_q) - ops.softplus(-z_p)) + (1 - p) * (ops.softplus(z_q) - ops.softplus(z_p))
    return temperature**2 * ops.mean(kl, axis=-1)


def _split(log_p: Any, target: Any, function: Any = None) -> Any:
    """Log probabilities of the label's class and of all others together, shape `(n, 2)`."""
    minus_infinity = ops.full_like(log_p, -1e30)
    own = ops.logsumexp(ops.where(target, log_p, minus_infinity), axis=-1)
    others = ops.logsumexp(ops.where(target, minus_infinity, log_p), axis=-1)
    both = ops.stack([own, others], axis=-1)
    return both if function is None else function(both)


def _among_others(logits: Any, target: Any) -> Any:
    """Log softmax over the classes that are not the label's; the label's own entry means nothing."""
    return ops.log_softmax(ops.where(target, ops.full_like(logits, -1e30), logits))
