"""Everything that a measurement refuses with one clear line. Anything else that goes wrong is a fault."""

from models.bundle import BundleError
from models.journey.eventlog import EventLogError
from models.ledger import LedgerError
from training.config import ConfigError
from training.errors import TooLittleData
from training.measure.figures import MeasureError
from training.splits import LogTooShort

REFUSALS = (BundleError, ConfigError, EventLogError, LedgerError, LogTooShort, MeasureError, TooLittleData)
