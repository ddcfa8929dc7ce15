"""Find settings of the boosting by Optuna, within a budget of trials: by what held-out customers' outcomes cost.

The first trial is always the settings as they are, so tuning never chooses worse ones on the same folds. Fits nothing
that is kept: the settings found are fitted again by whoever asked.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from models.journey.journeys import Ints
from training.crossfit import BoostingConfig, boost, log_loss
from training.loop import Progress

MOST_TUNED_ON = 40_000
"""More examples than these are thinned: settings differ by more than the noise of so many."""


@dataclass(frozen=True)
class Tuned:
    """The settings that cost held-out customers least, in nats, beside what the settings asked for cost; `tried` holds
    what each further trial tried and what it cost."""

    config: BoostingConfig
    log_loss: float
    log_loss_before: float
    trials: int
    tried: tuple[dict[str, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        chosen = {name: value for name, value in asdict(self.config).items() if name in _SEARCHED}
        return {
            "log_loss": round(self.log_loss, 6),
            "log_loss_before": round(self.log_loss_before, 6),
            "trials": self.trials,
            "tried": list(self.tried),
            **chosen,
        }


_SEARCHED = ("learning_rate", "leaves", "leaf_examples", "l2", "feature_share")


def tune(
    x: NDArray[np.float32],
    y: NDArray[np.int8],
    fold: Ints,
    config: BoostingConfig,
    trials: int,
    seed: int,
    constraints: list[int] | None,
    progress: Progress,
) -> Tuned:
    """Try so many settings on examples (S, F) with outcomes (S,), customers being parted by `fold` (S,).

    Tree-structured Parzen estimator (Bergstra et al. 2011), seeded, so the same data give the same settings.
    """
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.choice(len(y), min(len(y), MOST_TUNED_ON), replace=False))
    x, y, fold = x[kept], y[kept], fold[kept]

    def cost(settings: BoostingConfig) -> float:
        said = np.empty(len(y))
        for number in np.unique(fold):
            held = fold == number
            fitted = boost(x[~held], y[~held], settings, seed, constraints, stop_by=(x[held], y[held]))
            said[held] = fitted.predict_proba(x[held])[:, 1]
        return log_loss(said, y)

    def objective(trial: optuna.Trial) -> float:
        return cost(
            replace(
                config,
                learning_rate=trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
                leaves=trial.suggest_int("leaves", 4, 32, log=True),
                leaf_examples=trial.suggest_int("leaf_examples", 10, 400, log=True),
                l2=trial.suggest_float("l2", 0.01, 30.0, log=True),
                feature_share=trial.suggest_float("feature_share", 0.2, 1.0),
            )
        )

    before = cost(config)
    progress(f"setting 1 of {trials}: {before:.5f} nats")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for number in range(2, trials + 1):
        study.optimize(objective, n_trials=1)
        progress(f"setting {number} of {trials}: at best {min(before, study.best_value):.5f} nats")
    tried = tuple({**one.params, "log_loss": float(one.values[0])} for one in study.trials)
    if trials < 2 or before <= study.best_value:
        return Tuned(config, before, before, trials, tried)
    found = replace(config, **{name: study.best_params[name] for name in _SEARCHED})
    return Tuned(found, study.best_value, before, trials, tried)
