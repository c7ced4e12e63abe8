"""What a check of `anbar doctor` has found."""

from enum import Enum
from typing import NamedTuple


class Level(Enum):
    """How a check ended; only FAIL makes the command fail."""

    OK = "ok"
    NOTE = "note"
    FAIL = "FAIL"


class Finding(NamedTuple):
    level: Level
    about: str
    text: str
