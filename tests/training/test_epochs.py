"""Epochs in memory: what Keras' own `fit` computes, in fewer calls."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from learning_tasks import clouds, dense

from codesign.training import fit as epochs
from codesign.training.fit import Epochs, make_reproducible
from codesign.training.losses import DistillationLoss, pack_targets, packed_accuracy

DATA = clouds()
TRAIN = (DATA.x_train, pack_targets(DATA.y_train))
VALIDATION = (DATA.x_validation, pack_targets(DATA.y_validation))


def compiled(*widths: int, norm: bool = False) -> keras.Model:
    make_reproducible(0)
    model = dense(DATA, *widths, norm=norm)
    rate = keras.optimizers.schedules.CosineDecay(0.02, 30, alpha=0.01)
    loss, metrics = DistillationLoss(1.0), [packed_accuracy]
    model.compile(keras.optimizers.Adam(rate), loss, metrics=metrics, jit_compile=False)
    return model


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("together", [pytest.param(1, marks=pytest.mark.slow), 2, 256])
def test_an_epoch_is_that_of_plain_fit(monkeypatch: pytest.MonkeyPatch, together: int, norm: bool) -> None:
    monkeypatch.setattr(keras.random, "shuffle", lambda order: order)
    monkeypatch.setattr(epochs, "_STEPS_TOGETHER", together)
    monkeypatch.setattr(epochs, "_VALIDATION_BATCH", 50)
    # 216 samples: the last of four steps is short
    plain, ours = compiled(6, norm=norm), compiled(6, norm=norm)
    history = plain.fit(
        *TRAIN, batch_size=64, epochs=3, shuffle=False, validation_data=VALIDATION, verbose=0
    ).history
    data = Epochs(ours, TRAIN, VALIDATION, 64)
    told = [(data.train(), data.validate()) for _ in range(3)]
    for one, other in zip(plain.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-7)
    for epoch, (train, validation) in enumerate(told):
        for name, value in {**train, **{f"val_{key}": value for key, value in validation.items()}}.items():
            assert value == pytest.approx(history[name][epoch], rel=1e-5)
    assert int(ours.optimizer.iterations) == 12


def test_every_epoch_has_each_sample_once_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "_STEPS_TOGETHER", 2)

    def orders() -> list[Any]:
        data, seen = Epochs(compiled(4), TRAIN, VALIDATION, 50), []
        monkeypatch.setattr(data, "_train", seen.append)
        for _ in range(2):
            data.train()
        return seen

    seen = orders()
    assert [len(part) for part in seen] == [100, 100, 16] * 2
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert sorted(first) == sorted(second) == list(range(216))
    assert (first != second).any()
    np.testing.assert_array_equal(np.concatenate(orders()), np.concatenate(seen))


def test_an_epoch_ends_where_the_loss_is_no_longer_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "_STEPS_TOGETHER", 1)
    model = compiled(4)
    data = Epochs(model, TRAIN, VALIDATION, 27)
    kernel = model.get_layer("fc1").kernel
    kernel.assign(kernel * np.nan)
    assert np.isnan(data.train()["loss"])
    assert int(model.optimizer.iterations) == 1
