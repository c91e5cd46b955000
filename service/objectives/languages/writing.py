"""Values as YAML that people read and that Prometheus and Go read as the same values."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString, SingleQuotedScalarString

from service.objectives.languages.trees import Plain

_OTHER_TYPE: Final = re.compile(r"(?i)y|n|yes|no|on|off|[-+.]?\d[\d_:.e+-]*|0[xob]\w*")
"""Texts that YAML 1.1, which Prometheus reads, takes for something else."""
_BLOCK: Final = re.compile(r"[!-~][ -~]*(\n[ -~]*)+")
"""Texts that stand as a block as they are; others of many lines are quoted."""


def written(values: Sequence[Plain]) -> str:
    """Return documents as YAML text: queries as blocks, texts that look like values in quotes."""
    writer = YAML(typ="rt", pure=True)
    writer.default_flow_style = False
    writer.width = 10_000
    writer.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    writer.dump_all([_styled(value) for value in values], stream)
    return stream.getvalue()


def _styled(value: Plain) -> object:
    if isinstance(value, dict):
        return {_styled(name): _styled(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_styled(each) for each in value]
    if isinstance(value, str) and _BLOCK.fullmatch(value):
        return LiteralScalarString(value)
    if isinstance(value, str) and _OTHER_TYPE.fullmatch(value):
        return SingleQuotedScalarString(value)
    return value
