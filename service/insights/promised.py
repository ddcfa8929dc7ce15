"""What becomes of promises where answers are: a verdict settles a draw, a check withdraws, a person reinstates.

Each in the caller's writing transaction, so that what was answered under a promise is concluded again from the moment
on at which it no longer stands. Checks themselves are service/promises'.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from models.insight import ModelVersion
from models.journey.event import SECOND, Micros
from models.policy import Policy
from models.review import CANNOT_TELL
from models.watched import Key
from service.errors import Conflict
from service.forecasts import store as forecasts
from service.insights import store
from service.insights.released import touch_promised
from service.live.bundles import LiveBundles
from service.promises import drawing, sets, shifts, watching
from service.promises import store as promises
from service.promises.store import Happened
from service.state import State

LOOK_EVERY = 60 * SECOND
"""Between two looks for horizons that have passed."""


def put_in_force(state: State) -> None:
    """The policy that this process has read counts from now on; where it decides otherwise, all is concluded again."""
    with state.service.write() as connection:
        if promises.put_in_force(connection, state.settings.promises, state.clock()):
            store.touch_all(connection)


def settle(connection: Connection, subject: str, answer: str | None, at: Micros, *, policy: Policy) -> None:
    """A person's answer about a text is final (None: it was taken back); if it was drawn, its promise is looked at."""
    drawn = drawing.drawn(connection, subject)
    if drawn is None:
        return
    told = answer is not None and answer != CANNOT_TELL
    drawing.answer(
        connection, subject, wrong=answer != drawn.answer if told else None, at=None if answer is None else at
    )
    if not drawn.released:
        return
    key = ("feeling", drawn.group_name)
    if drawn.answered_at is not None:
        watching.forget(connection, drawn.digest, key)
    check(connection, policy, ModelVersion(drawn.version, drawn.digest, None), key, at)


def check(connection: Connection, policy: Policy, model: ModelVersion, key: Key, at: Micros) -> Happened | None:
    """Look at one promise; where it is withdrawn, what was answered under it is concluded again."""
    happened = watching.look(connection, policy, model, key, at)
    if happened is not None and model.digest is not None:
        touch_promised(connection, model.digest, *key)
    return happened


def reinstate(connection: Connection, digest: str | None, key: Key, by: str, why: str, at: Micros) -> Happened:
    """A person says that a withdrawn promise stands again. It is watched anew from now on. Raises Conflict."""
    word = None if digest is None else promises.latest(connection, digest).get(key)
    if word is None or word.what != "withdrawn":
        raise Conflict(f"The promise of {'/'.join(key)} is not withdrawn.", "Look at GET /v1/promises.",
                       code="promise_not_withdrawn", field="kind", value="/".join(key))  # fmt: skip
    happened = Happened(*key, word.digest, "reinstated", at, by, why, at, {})
    promises.add(connection, happened)
    watching.forget(connection, word.digest, key)
    touch_promised(connection, word.digest, *key)
    return happened


@dataclass
class Watcher:
    """What the worker does for promises, a small piece at a time: what came after sets, what that means, the inputs."""

    state: State
    bundles: LiveBundles
    _look_from: Micros = field(default=0, init=False)

    def step(self) -> int:
        """One piece; says how many served sets it looked at. 0: nothing is due right now."""
        now = self.state.clock()
        if now < self._look_from:
            return 0
        done = sets.check_some(self.state)
        if not done:
            self._look_from = now + LOOK_EVERY
            self._check_all(now)
            shifts.look(self.state, self.bundles.now(), store.touch_all)
        return done

    def _check_all(self, now: Micros) -> None:
        """The promises that are checked by what happened; those of feelings are looked at with each verdict."""
        model = self.bundles.now().model
        if model.digest is None:
            return
        with self.state.service.read() as connection:
            keys = watched_by_events(connection, model.digest)
            policy = self.state.settings.promises
            refuted = [key for key in keys if watching.followed(connection, policy, model.digest, key).withdraw]
        for key in refuted:
            with self.state.service.write() as connection:
                check(connection, self.state.settings.promises, model, key, now)


def watched_by_events(connection: Connection, digest: str) -> list[Key]:
    """Promises of which something was served that is checked by what happens."""
    groups: list[Key] = [("next_touchpoint", group) for group in sets.groups(connection, digest)]
    return groups + [(f"purchase:{name}", "all") for name in forecasts.names(connection)]
