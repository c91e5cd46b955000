"""Ollama. How to recognise it: the JSON of `GET /api/ps`, which names the models that are loaded.

It has no metrics page (asked for since 2024), so there is no queue, no cache, no count and no
latency to read: a replica of it is there or not, and has a model. Its requests are told by the
proxy or the access log. Traps: `size_vram` is weights, cache and buffers together, so it is no
weights' size; `prompt_eval_duration` of an answer is no time to first token.
"""

from __future__ import annotations

import json
from typing import Final

from collector.engines import Engine
from collector.scraping.exposition import MAX_SERIES, Page, Series

_LOADED: Final = "ollama_model_size_vram_bytes"


def _read(body: bytes) -> Page | None:
    """Return the loaded models of an `/api/ps` answer as series; None when it is no such answer."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    models = told.get("models") if isinstance(told, dict) else None
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
        return None
    loaded = [
        Series({"model": model["name"]}, float(model["size_vram"]))
        for model in models[:MAX_SERIES]
        if isinstance(model.get("name"), str) and _is_size(model.get("size_vram"))
    ]
    return Page({_LOADED: loaded}) if len(loaded) == len(models) else None


def _is_size(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**63


ENGINE: Final = Engine(
    name="ollama",
    title="Ollama",
    prefixes=("ollama_",),
    ports=(11434,),
    metrics_path="/api/ps",
    version_path="/api/version",
    model_labels=("model",),
    unused=frozenset((_LOADED,)),
    read=_read,
    captured=False,
    advice="Ollama has no metrics: read its requests with inferometer proxy",
)
