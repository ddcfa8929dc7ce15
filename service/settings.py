"""Every setting of the service, its unit and its safe default; read from JOURNEY_… when the service starts.

Reads nothing at import. What was measured is the bundle's; what risk to take is the policy file's.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.insight import ReleasePolicy
from models.journey.claims import Rules
from models.journey.event import SECOND, Micros
from models.policy import Policy


class Settings(BaseSettings):
    """`JOURNEY_PORT=9000 python -m service` sets `port`. Values out of range are refused with the allowed range."""

    model_config = SettingsConfigDict(env_prefix="JOURNEY_", frozen=True, extra="forbid", use_attribute_docstrings=True)

    data_dir: Path = Path(".data")
    """Folder of the databases log.db and service.db; made if missing."""
    mlruns_dir: Path = Path("mlruns")
    """Folder that holds versions/ and live/, where bundles lie."""
    catalogue: Path | None = None
    """YAML file of catalogue rules; none means the one that comes along."""
    host: str = "127.0.0.1"
    """Address to listen on; the default is reached from this machine alone."""
    port: int = Field(default=8000, ge=0, le=65_535)
    """TCP port to listen on; 0 takes any free one."""

    body_bytes: int = Field(default=524_288, ge=1024)
    """Largest body of a tracking call or a feedback in bytes, after gunzip."""
    events_per_batch: int = Field(default=2_500, ge=1)
    """Most events in one batch."""
    event_bytes: int = Field(default=32_768, ge=256)
    """Largest single event in bytes; a larger one is refused alone."""
    body_seconds: float = Field(default=30.0, gt=0)
    """Seconds within which the body of a tracking call must have arrived."""
    api_origins: str = ""
    """Sites whose pages may call the rest of the API, with a key: origins with commas between, or `*`; empty: none."""
    cors_origins: str = "*"
    """Sites whose pages send events: origins like `https://example.org`, with commas between; `*`: all; empty: none."""
    public_url: str = Field(default="", pattern=r"^(https?://[^/?#\s]+[^?#\s]*)?$")
    """Where browsers reach this service, such as `https://events.example.org`; empty: where the request came to."""
    letters_kept: int = Field(default=100_000, ge=1)
    """Most refused events kept as dead letters; the oldest go first."""
    letter_days: int = Field(default=90, ge=1)
    """Days after which a refused event that was not sent again is forgotten."""
    keep_events_days: int = Field(default=0, ge=0)
    """Days after which an event is deleted, counted from its receipt; who is who stays known. 0: never."""
    keep_words_days: int = Field(default=0, ge=0)
    """Days after which a customer's words are deleted, with what was concluded and judged of them. 0: never."""
    keep_conclusions_days: int = Field(default=0, ge=0)
    """Days after which a conclusion is deleted that another superseded. 0: never."""
    keep_forecasts_days: int = Field(default=0, ge=0)
    """Days after which a served purchase probability, kept to be checked by what happened, is deleted. 0: never."""
    keep_results_days: int = Field(default=7, ge=1)
    """Days after which the file that a job wrote is deleted."""
    keep_changes_days: int = Field(default=30, ge=1)
    """Days after which a change, and what became of its deliveries, is deleted: so long a reader may be away."""
    probability_step: float = Field(default=0.01, ge=0, le=1)
    """Least difference of a purchase probability from the one last told that is told as a change."""
    webhook_seconds: float = Field(default=15.0, gt=0)
    """Seconds within which a webhook's receiver must have answered."""
    webhook_private: bool = False
    """Whether webhooks may go to private, loopback and link-local addresses, and without TLS."""
    webhook_ca_file: Path | None = None
    """PEM file of certificate authorities that webhooks' receivers may have beside the public ones; none: no others."""
    webhook_key: SecretStr = SecretStr("")
    """Key that the secrets of webhooks are derived from, 32 characters or more; empty: the file webhook.key is made."""
    webhook_rotation_hours: int = Field(default=24, ge=0)
    """Hours for which a webhook's earlier secret still signs beside the new one."""
    forecast_hours: int = Field(default=24, ge=0)
    """Least hours between two kept probabilities of one customer, target and version; 0: every one that is served."""
    forecast_grace_hours: int = Field(default=24, ge=0)
    """Hours after the end of its horizon at which a probability is checked: late events have come by then."""
    purge_hours: int = Field(default=24, ge=0)
    """Least hours between two times that large databases are written anew to leave no trace of whom was erased."""
    text_characters: int = Field(default=100_000, ge=1)
    """Longest feedback text in characters; it is kept whole, a longer one is refused."""
    identity_kinds: str = Field(default="email", pattern=r"^([A-Za-z0-9_.-]+(,[A-Za-z0-9_.-]+)*)?$")
    """Ids of persons, besides userId, that join: `email` (hashed) and types of `externalIds`, with commas between."""
    identity_most_users: int = Field(default=5, ge=1)
    """Most known users that may be one customer, or share an id; a join that makes more is refused."""
    keep_original_text: bool = False
    """Whether the log keeps customers' words with the personal data in them; without, they are masked before."""
    show_original_text: bool = False
    """Whether reviewers, exports and models get the words that `keep_original_text` kept; without, masked ones."""
    phone_regions: str = Field(default="DE,GB,US", pattern=r"^([A-Z]{2}(,[A-Z]{2})*)?$")
    """Countries whose phone numbers are masked as they are written there; those that begin with + always are."""
    mask_names: bool = True
    """Whether a customer's own names, as `identify` told them, are masked in their words."""
    masked_names: str = ""
    """Names that are masked in everybody's words, such as those of employees, with commas between."""
    feedback_repeat_seconds: int = Field(default=3_600, ge=0)
    """Seconds within which the same words of the same customer are one feedback, whatever their ids; 0: never."""
    consent_categories: str = "Advertising"
    """Categories of a consent banner (`context.consent.categoryPreferences`) that must all be allowed before anybody
    is profiled, with commas between; empty: a banner says nothing, only `do_not_profile` counts."""
    busy_seconds: float = Field(default=5.0, gt=0)
    """Seconds to wait for a database that another process writes to, before a request is answered 503."""
    stop_seconds: int = Field(default=20, ge=1)
    """Seconds that requests may still take once the service was told to stop; what is not answered by then is cut."""
    requests_at_once: int = Field(default=512, ge=1)
    """Most requests that are being answered; the next one is answered 503 and told when to come back."""
    key_requests_per_second: float = Field(default=0.0, ge=0)
    """Requests a second that one key may send, each process counting by itself; more are answered 429. 0: no limit."""
    key_burst: int = Field(default=100, ge=1)
    """Requests that a key may send at once after a pause, where they are limited."""
    requests_waiting: int = Field(default=256, ge=1)
    """Most requests that wait to be stored; the next one is answered 503 and told when to come back."""
    prediction_bytes: int = Field(default=16_777_216, ge=1024)
    """Largest body of POST /v1/predictions in bytes, after gunzip."""
    predictions_per_request: int = Field(default=1_000, ge=1)
    """Most journeys in one POST /v1/predictions."""
    job_bytes: int = Field(default=134_217_728, ge=1024)
    """Largest file of journeys sent for a job in bytes, after gunzip."""
    job_seconds: float = Field(default=300.0, gt=0)
    """Seconds within which such a file must have arrived."""
    predictions_waiting: int = Field(default=4_000, ge=1)
    """Most journeys that wait to be predicted; the next request is answered 503 and told when to come back."""
    predictions_wait_seconds: float = Field(default=5.0, gt=0)
    """Seconds that a request for predictions may wait for others, at the present pace; else it is answered 503."""
    explained_per_request: int = Field(default=50, ge=1)
    """Most journeys in one POST /v1/predictions that asks with `explain`; each takes some 10 milliseconds more."""
    future_tolerance_seconds: int = Field(default=86_400, ge=0)
    """Seconds ahead of our clock that still count as now; what lies further ahead is refused."""

    policy_file: Path | None = None
    """YAML file that says how much risk to accept and how much people can read; none means the one that comes along."""

    lease_seconds: int = Field(default=30, ge=1)
    """Seconds after which a silent worker is taken to be gone."""
    session_hours: int = Field(default=12, ge=1)
    """Hours after which a reviewer signs in again."""
    case_lease_seconds: int = Field(default=600, ge=10)
    """Seconds after which a case goes back to the queue where its reviewer gave no sign."""
    read_twice_share: float = Field(default=0.02, ge=0, le=1)
    """Share of cases, drawn by lot, that two people read independently; 0 for a team of one."""
    hidden_share: float = Field(default=0.1, ge=0, le=1)
    """Share of cases, drawn by lot, that hide the model's answer until the reviewer has answered."""
    review_due_hours: int = Field(default=20, ge=1)
    """Hours after its words within which a waiting case should be read."""
    max_age_seconds: int = Field(default=21_600, ge=1)
    """Seconds after which an insight is concluded anew."""
    fold_batch: int = Field(default=5_000, ge=1)
    """Events folded in one transaction."""
    conclude_batch: int = Field(default=128, ge=1)
    """Most customers concluded in one micro-batch; fewer where they take so long that folding would wait."""
    worker_interval_seconds: float = Field(default=0.2, gt=0)
    """Seconds the worker rests when nothing is left to do."""
    bundle_check_seconds: float = Field(default=1.0, ge=0)
    """Seconds between two looks at which bundle is live."""
    onnx_threads: int = Field(default=1, ge=1)
    """Threads of each ONNX graph; on small shared machines one is fastest."""
    feeling_answers: int = Field(default=4_096, ge=0)
    """Answers about texts that are kept in memory for texts that come again, as numbers; 0 keeps none."""
    metrics_on_loopback: bool = True
    """Whether /metrics answers this machine without a key; others need a key with scope admin, always."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line to log."""

    @cached_property
    def promises(self) -> Policy:
        """What the operator's policy file says, read once. Raises PolicyError."""
        return Policy.load(self.policy_file) if self.policy_file else Policy.default()

    @property
    def policy(self) -> ReleasePolicy:
        """The part of it by which answers are decided."""
        return self.promises.release

    @property
    def identity(self) -> Rules:
        """Who is who."""
        kinds = tuple(dict.fromkeys(one for one in self.identity_kinds.split(",") if one))
        return Rules(kinds, self.identity_most_users)

    @property
    def future_tolerance(self) -> Micros:
        return self.future_tolerance_seconds * SECOND

    @property
    def repeat_window(self) -> Micros:
        return self.feedback_repeat_seconds * SECOND

    @property
    def forecast_spacing(self) -> Micros:
        return self.forecast_hours * 3_600 * SECOND

    @property
    def consent_categories_listed(self) -> tuple[str, ...]:
        return tuple(sorted({one.strip() for one in self.consent_categories.split(",")} - {""}))
