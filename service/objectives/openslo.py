"""OpenSLO v1: one `kind: SLO` document as an objective."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from service.objectives.draft import Draft, checked
from service.objectives.mistakes import suggestion
from service.objectives.periods import budgeting, window
from service.objectives.section import Section
from service.objectives.sources import Source, check_total, has_one_limit, indicator_of, source
from service.objectives.words import percent, ratio, seconds, yes_or_no
from slo.objective import Objective
from slo.pairs import POLICIES

API_VERSION: Final = "openslo/v1"
GUESS: Final = "inferometer/guess"
"""The annotation of an objective that nobody chose."""


def objective(document: Section) -> Objective | None:
    """Read one document; None, with every mistake noted, when it is not an objective."""
    before = len(document.notes.mistakes)
    document.only("apiVersion", "kind", "metadata", "spec")
    if not _is_slo(document):
        return None
    metadata, spec = document.section("metadata"), document.section("spec")
    draft = Draft()
    if metadata is not None:
        draft = _metadata(metadata, draft)
    if spec is not None:
        draft = _spec(spec, draft)
    made = checked(draft, document)
    return made if len(document.notes.mistakes) == before else None


def _is_slo(document: Section) -> bool:
    version, kind = document.text("apiVersion"), document.text("kind")
    if version not in (None, API_VERSION):
        document.wrong("apiVersion", f"{version!r} is not read here", f"write {API_VERSION}")
    if kind not in (None, "SLO"):
        document.wrong("kind", f"{kind!r} is not read here", "write kind: SLO, with its parts inline")
    return kind == "SLO"


def _metadata(metadata: Section, draft: Draft) -> Draft:
    metadata.only("name", "displayName", "labels", "annotations")
    annotations = metadata.section("annotations", required=False)
    guess = annotations.read(GUESS, yes_or_no, required=False) if annotations else None
    return replace(
        draft.at("name", metadata.place("name")),
        name=metadata.text("name") or draft.name,
        display_name=metadata.text("displayName", required=False) or "",
        guess=bool(guess),
    )


def _spec(spec: Section, draft: Draft) -> Draft:
    spec.only(
        "description", "service", "indicator", "timeWindow", "budgetingMethod", "objectives", "alertPolicies"
    )
    spec.text("service")
    promised = _promised(spec)
    draft = budgeting(spec, promised, window(spec, _target(promised, draft)))
    draft = _asked(spec, promised, draft)
    policy = _policy(spec)
    if spec.has("alertPolicies"):
        draft = draft.at("policy", spec.place("alertPolicies"))
    return replace(
        draft,
        description=spec.text("description", required=False) or "",
        policy=draft.policy if policy is None else policy,
    )


def _promised(spec: Section) -> Section | None:
    """Return the one entry of `objectives`."""
    entries = spec.sections("objectives")
    if len(entries) > 1:
        hint = "write a document of its own for each"
        spec.notes.wrong(entries[1].place(), "one document promises one thing", hint)
    if not entries:
        if spec.has("objectives"):
            spec.wrong("objectives", "nothing is promised", "write - target: 0.99 below it")
        return None
    entries[0].only(
        "displayName", "op", "value", "target", "targetPercent", "timeSliceTarget", "timeSliceWindow"
    )
    return entries[0]


def _target(promised: Section | None, draft: Draft) -> Draft:
    if promised is None:
        return draft
    if promised.has("target") and promised.has("targetPercent"):
        promised.wrong("targetPercent", "the target is given twice", "keep target or targetPercent")
    name = "target" if promised.lacks("targetPercent") else "targetPercent"
    target: Decimal | None = promised.read(name, percent if name == "targetPercent" else ratio)
    return replace(draft.at("target", promised.place(name)), target=target or draft.target)


def _asked(spec: Section, promised: Section | None, draft: Draft) -> Draft:
    asked = _source(spec, promised)
    if asked is None:
        return draft
    return replace(
        draft.at("group_by", asked.group_place),
        indicator=asked.indicator,
        selector=asked.selector,
        group_by=asked.group_by,
    )


def _source(spec: Section, promised: Section | None) -> Source | None:
    indicator = spec.section("indicator")
    if indicator is None:
        return None
    indicator.only("metadata", "spec")
    inner = indicator.section("spec")
    if inner is None:
        return None
    inner.only("description", "thresholdMetric", "ratioMetric")
    if inner.has("thresholdMetric") == inner.has("ratioMetric"):
        inner.wrong(
            None, "an indicator is either a threshold or a ratio", "write ratioMetric or thresholdMetric"
        )
        return None
    if inner.has("ratioMetric"):
        return _ratio(inner, promised)
    return _threshold(inner, promised)


def _ratio(inner: Section, promised: Section | None) -> Source | None:
    metric = inner.section("ratioMetric")
    if metric is None:
        return None
    metric.only("counter", "good", "total")
    for name in ("op", "value"):
        if promised is not None and promised.has(name):
            promised.wrong(name, f"a ratio has no {name}", "leave it out; limits stand beside the indicator")
    good, total = metric.section("good"), metric.section("total")
    if total is not None:
        check_total(total, indicator_of(good) if good else None)
    return None if good is None else source(good)


def _threshold(inner: Section, promised: Section | None) -> Source | None:
    metric = inner.section("thresholdMetric")
    if metric is None:
        return None
    named = indicator_of(metric)
    if named is not None and not has_one_limit(named):
        metric.wrong(None, f"{named.kind} has no single limit", "write it as ratioMetric with good and total")
        return None
    has_value = promised is not None and promised.has("value")
    op = promised.text("op", required=has_value) if promised is not None else None
    if promised is not None and op not in (None, "lte"):
        promised.wrong("op", f"limits are inclusive upper ones, not {op!r}", "write op: lte")
    limit_us = promised.read("value", seconds, required=False) if promised is not None else None
    return None if has_value and limit_us is None else source(metric, limit_us=limit_us)


def _policy(spec: Section) -> str | None:
    """Return the alert policy: empty = the usual one, `none` for an empty list, None = mistaken."""
    if not spec.has("alertPolicies"):
        return ""
    entries = spec.sections("alertPolicies")
    if not entries:
        return "none"
    if len(entries) > 1:
        spec.notes.wrong(entries[1].place(), "an objective has one alert policy", "keep one")
    entries[0].only("alertPolicyRef")
    name = entries[0].text("alertPolicyRef")
    if name is None or name in POLICIES:
        return name
    entries[0].wrong(
        "alertPolicyRef", f"no alert policy is called {name!r}", suggestion(name, tuple(POLICIES))
    )
    return None
