"""Documents of objectives as their authors wrote them, and the same with other numbers in them.

Comments, order and spelling of a document stay as they are: what a person gets back is theirs.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.scalarfloat import ScalarFloat

from service.objectives.sources import LIMIT
from slo.durations import written
from telemetry.units import MICROS_PER_SECOND

_HUNDRED: Final = Decimal(100)


def documents(text: str) -> dict[str, str]:
    """Return the text of each SLO document of a YAML text that was read without a mistake, by its name."""
    nodes = [each for node in _yaml().compose_all(text) for each in _entries(node)]
    texts = [_cut(text, node) for node in nodes]
    return {name: each for each in texts if (name := _name(_yaml().load(each)))}


def moved(
    document: str,
    *,
    limits_us: Mapping[str, int],
    numbers: Mapping[str, Decimal] | None = None,
    target: Decimal | None = None,
) -> str:
    """Return a document with other limits, thresholds and another target; None = they stay.

    `limits_us` and `numbers` are parameters of its indicator by the names they have in a file: `limit`,
    `ttft`; `value`.
    """
    found = _yaml().load(document)
    promised = found["spec"]["objectives"][0]
    metric = _source(found["spec"]["indicator"]["spec"])
    for name, limit_us in limits_us.items():
        if name == LIMIT and "value" in promised:
            promised["value"] = _number(Decimal(limit_us) / MICROS_PER_SECOND)
        else:
            metric[name] = written(limit_us)
    for name, value in (numbers or {}).items():
        metric[name] = _number(value)
    if target is not None and "targetPercent" in promised:
        promised["targetPercent"] = _number(target * _HUNDRED)
    elif target is not None:
        promised["target"] = _number(target)
    stream = io.StringIO()
    _yaml().dump(found, stream)
    return stream.getvalue()


def _yaml() -> YAML:
    reader = YAML(typ="rt", pure=True)
    reader.preserve_quotes = True
    reader.width = 10_000
    reader.indent(mapping=2, sequence=4, offset=2)
    return reader


def _entries(node: Node | None) -> Iterator[Node]:
    """Yield the documents in one: those of a list at the top count one by one."""
    if isinstance(node, SequenceNode):
        for entry in node.value:
            yield from _entries(entry)
    elif isinstance(node, MappingNode):
        yield node


def _cut(text: str, node: Node) -> str:
    begin = node.start_mark
    whole = " " * begin.column + text[begin.index : node.end_mark.index]
    return textwrap.dedent(whole).strip("\n") + "\n"


def _name(document: Any) -> str | None:
    if document.get("kind") != "SLO":
        return None
    return str(document["metadata"]["name"])


def _source(indicator: Any) -> Any:
    metric = (
        indicator["thresholdMetric"] if "thresholdMetric" in indicator else indicator["ratioMetric"]["good"]
    )
    return metric["metricSource"]["spec"]


def _number(value: Decimal) -> object:
    """Return a number that is written with just the digits that it has."""
    if value == value.to_integral_value():
        return int(value)
    text = f"{value.normalize():f}"
    return ScalarFloat(float(text), width=len(text), prec=text.index("."))
