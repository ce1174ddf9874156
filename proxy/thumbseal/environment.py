"""The process's environment, read here alone, so that everything else can be given another."""

import os
from collections.abc import Mapping
from typing import Final

ENVIRONMENT: Final[Mapping[str, str]] = os.environ
