"""One file for each indicator; this folder is the registry.

A file names its class `INDICATOR`. Adding an indicator is adding a file.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from slo.indicator import Indicator


@functools.cache
def indicators() -> Mapping[str, type[Indicator]]:
    """Return every indicator by its kind, sorted. Imports the folder's files on first use."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = (importlib.import_module(f"{__name__}.{name}").INDICATOR for name in names)
    return MappingProxyType({indicator.kind: indicator for indicator in found})
