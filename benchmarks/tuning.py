"""Search for hyperparameters with Optuna, one training after the other."""

from __future__ import annotations

import json
import sqlite3
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import safe_mean

from memory_agents.benchmarks.arguments import UsageError, described
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.evaluation import Evaluation
from memory_agents.benchmarks.output import FAILURE_FILE
from memory_agents.benchmarks.run_lock import hold
from memory_agents.benchmarks.training import note_failure, train
from memory_agents.common import search_spaces

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage

#: Search spaces by algorithm. They tune the compressive memory together with the algorithm.
SPACES: dict[str, Callable[..., dict[str, Any]]] = {
    "PPO": search_spaces.sample_ppo,
    "A2C": search_spaces.sample_a2c,
    "MaskablePPO": search_spaces.sample_ppo,
    "TRPO": search_spaces.sample_trpo,
    "DQN": search_spaces.sample_dqn,
    "QRDQN": search_spaces.sample_dqn,
}
STUDY_FILE = "study.db"
#: What is compared with other trials on the way: this many times in a training, after this many trials that ran to
#: their end.
REPORTS, TRIALS_BEFORE_PRUNING = 20, 5


class Pruning(BaseCallback):
    """
    Tells a trial how the training goes, and ends it where it is worse than the median of those before.

    :param trial: the trial
    :param interval: environment steps between two reports
    """

    def __init__(self, trial: Trial, interval: int) -> None:
        super().__init__()
        self.trial, self.interval = trial, interval
        self.pruned = False
        self._next = interval

    def _on_step(self) -> bool:
        episodes = self.model.ep_info_buffer
        if self.num_timesteps >= self._next and episodes:
            # By the number of the report, so that trials with other rollouts can be compared.
            self.trial.report(safe_mean([episode["r"] for episode in episodes]), self._next // self.interval)
            self._next += self.interval
            self.pruned = self.trial.should_prune()
        return not self.pruned


def draw(base: TrainingConfig, trial: Trial) -> TrainingConfig:
    """
    :param base: arguments of the runs
    :param trial: draws hyperparameters
    :return: the arguments with what was drawn, over those of ``base``
    """
    drawn = SPACES[base.algorithm](trial, 0, base.n_envs, {})
    memory = drawn.pop("policy_kwargs")["memory_kwargs"]
    return replace(
        base,
        policy=drawn.pop("policy"),
        memory_kwargs={**base.memory_kwargs, **memory},
        algorithm_kwargs={**base.algorithm_kwargs, **drawn},
    )


def score(evaluation: Evaluation) -> float:
    """
    :param evaluation: of a trained agent
    :return: what is maximised: the normalised return, or the plain one where anchors are not known; not a number where
        training broke off
    """
    for value in (evaluation.normalized_return, evaluation.mean_return):
        if value is not None:
            return value
    return float("nan")


class _TrialFailedError(Exception):
    """A trial's training raised something; the search goes on."""


def tune(base: TrainingConfig, trials: int, folder: Path, progress: Callable[[str], None]) -> tuple[Study, int]:
    """
    Train with hyperparameters that Optuna's tree-structured Parzen estimator suggests. A search that was stopped,
    however it was, goes on where it stopped: finished trials count, and one that was begun is begun anew. One that
    fails does not stop the others; its folder has ``failure.txt``, and the next search makes another one for it.

    :param base: arguments of the runs, its algorithm one of :data:`SPACES`
    :param trials: trials in all, with those that are there
    :param folder: for the search; ``study.db`` is Optuna's, ``trials/NUMBER`` holds the runs
    :param progress: gets a line for each trial
    :return: the study, and how many trials have failed now
    :raises UsageError: when Optuna is missing, or the folder has a search with other arguments, or another process is
        at it
    """
    try:
        import optuna
    except ImportError as error:
        raise UsageError("tune needs Optuna: pip install 'memory_agents[tune]'") from error
    from optuna.trial import TrialState

    failures: dict[int, str] = {}

    def objective(trial: Trial) -> float:
        config = draw(base, trial)
        trial.set_user_attr("command", config.command())
        pruning = Pruning(trial, max(1, base.total_timesteps // REPORTS))
        run = folder / "trials" / f"{trial.number:04d}"
        try:
            result = train(config, run, progress=False, overwrite=True, callback=pruning)
        except KeyboardInterrupt:
            # Optuna notes that it has failed; the next search begins it anew.
            trial.study.enqueue_trial(trial.params)
            raise
        except (Exception, SystemExit) as error:
            # Arguments that are refused have left nothing so far.
            note_failure(run, config, traceback.format_exc())
            failures[trial.number] = f"failed ({described(error)}); see {run / FAILURE_FILE}"
            raise _TrialFailedError from error
        if pruning.pruned:
            raise optuna.TrialPruned
        return score(result.evaluation)

    def tell(study: Study, trial: Any) -> None:
        told = "not a number" if trial.value is None else f"score {trial.value:.3f}"
        if trial.state is TrialState.PRUNED:
            told = "worse than the median, ended early"
        told = failures.get(trial.number, told)
        progress(f"trial {trial.number}: {told}")

    with hold(folder):
        # It warns of trials that failed, which are told here.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            storage=_storage(folder / STUDY_FILE),
            study_name="tune",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, n_warmup_steps=REPORTS // 4),
            load_if_exists=True,
        )
        _check_base(study, base, folder)
        # Another draw for every start, else the same hyperparameters would be suggested again.
        study.sampler = optuna.samplers.TPESampler(seed=base.seed + len(study.trials))
        for trial in study.get_trials(states=[TrialState.RUNNING]):
            # Nobody else is in this folder, so whoever ran it is gone.
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
        done = study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])
        if len(done) < trials:
            study.optimize(objective, trials - len(done), callbacks=[tell], catch=(_TrialFailedError,))
    return study, len(failures)


def _storage(path: Path) -> BaseStorage:
    """Without the path in the URL: some versions of SQLAlchemy would cut it at ``?``, others would not."""
    from optuna.storages import RDBStorage

    file = path.resolve()

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(file, check_same_thread=False)

    return RDBStorage(f"sqlite:///{STUDY_FILE}", engine_kwargs={"creator": connect})


def _check_base(study: Study, base: TrainingConfig, folder: Path) -> None:
    arguments = json.dumps(asdict(base), sort_keys=True)
    known = study.user_attrs.get("base")
    if known is None:
        study.set_user_attr("base", arguments)
    elif known != arguments:
        then, now = json.loads(known), asdict(base)
        differ = ", ".join(name for name in now if now[name] != then.get(name))
        raise UsageError(f"--out {str(folder)!r} has a search with other arguments ({differ}); use another folder")
