"""What is wrong is told with its place, all at once; what is right keeps its meaning."""

from __future__ import annotations

import contextlib
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from inferometer.main import app
from service.objectives.languages.convert import Source, Target
from service.objectives.languages.durations import prometheus_duration, prometheus_us
from service.objectives.languages.openslo_fields import V1, V2ALPHA
from service.objectives.languages.rules import exact
from service.objectives.languages.writing import written
from service.objectives.mistakes import ObjectiveFileError

SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: checkout
    objective: 99.95
    sli:
      events:
        error_query: sum(rate(bad_total[{{.window}}]))
        total_query: sum(rate(all_total[{{ .window }}]))
    alerting: {name: Checkout}
"""
SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: search
  displayName: Search
  labels:
    team: [a, b]
spec:
  service: web
  indicatorRef: found
  timeWindow:
    - duration: 28d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: 0.995
"""
SLI = """\
apiVersion: openslo/v1
kind: SLI
metadata:
  name: found
spec:
  ratioMetric:
    counter: true
    bad:
      metricSource:
        type: Prometheus
        spec:
          query: sum(rate(bad[{{.window}}]))
    total:
      metricSource:
        type: Prometheus
        spec:
          query: sum(rate(all[{{.window}}]))
"""
WINDOWS = """\
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 7d
  page:
    quick: {errorBudgetPercent: 8, shortWindow: 5m, longWindow: 1h}
    slow: {errorBudgetPercent: 12.5, shortWindow: 30m, longWindow: 6h}
  ticket:
    quick: {errorBudgetPercent: 20, shortWindow: 2h, longWindow: 1d}
    slow: {errorBudgetPercent: 42, shortWindow: 6h, longWindow: 3d}
"""


def test_every_fault_of_every_file_is_told_at_its_place(mistakes):
    bent = (
        SLOTH.replace("objective: 99.95", "objective: 0")
        .replace("bad_total[{{.window}}]))", "bad_total[{{.window}}])")
        .replace("{{ .window }}", "5m")
        .replace("name: Checkout", "page_alert: {disable: true}")
    )
    assert mistakes("sloth", "prometheus", bent, "version: prometheus/v2\n") == [
        ("0.yaml", 5, 16, "slos[0].objective: 0 is not in (0, 100]"),
        ("0.yaml", 8, 22, "slos[0].sli.events.error_query: the query never closes '('"),
        ("0.yaml", 9, 22, "slos[0].sli.events.total_query: the query has no window of its own"),
        ("0.yaml", 10, 5, "alerting.name is missing"),
        ("1.yaml", 1, 1, "'prometheus/v2' is no spec that Sloth reads"),
    ]


def test_brackets_in_quotes_are_no_brackets(tmp_path, converted):
    (tmp_path / "a.yaml").write_text(SLOTH.replace("bad_total[", 'bad_total{path=~"/a(b"}['))
    assert 'path=~"/a(b"}[5m]' in converted("sloth", "prometheus", tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("old", "new", "place", "cause"),
    [
        ("target: 0.995", "target: 1", (16, 15), "spec.objectives[0].target: 1 is not in [0, 1)"),
        ("target: 0.995", "{}", (16, 7), "spec.objectives[0] has none of target, targetPercent"),
        ("28d", "28", (12, 17), "spec.timeWindow[0].duration: '28' is not a duration"),
        ("indicatorRef: found", "op: lt", (9, 3), "spec has no indicator"),
        ("kind: SLO", "kind: Slo", (2, 1), "openslo/v1 has no kind 'Slo'"),
        ("openslo/v1", "openslo/v7", (1, 1), "'openslo/v7' is not OpenSLO"),
    ],
)  # fmt: skip
def test_a_fault_in_openslo_is_located(mistakes, old, new, place, cause):
    found = mistakes("openslo", "openslo", SLO.replace(old, new))
    assert ("0.yaml", *place, cause) in found


def test_references_stay_unless_they_are_to_be_resolved(tmp_path, converted, mistakes):
    (tmp_path / "slo.yaml").write_text(SLO)
    assert "indicatorRef: found" in converted("openslo", "openslo", tmp_path / "slo.yaml")
    assert mistakes("openslo", "openslo", SLO, inline=True) == [
        ("0.yaml", 10, 3, "nothing is called SLI 'found'")
    ]


def test_a_faulty_object_is_not_missing_as_well(mistakes):
    found = mistakes("openslo", "openslo", SLO, SLI.replace("counter: true", "counter: perhaps"), inline=True)
    assert [(file, cause.partition(":")[0]) for file, _, _, cause in found] == [
        ("1.yaml", "spec.ratioMetric.counter")
    ]


def test_references_are_resolved_across_files_for_rules(tmp_path, converted):
    (tmp_path / "slo.yaml").write_text(SLO)
    (tmp_path / "sli.yaml").write_text(SLI)
    rules = converted("openslo", "prometheus", tmp_path / "slo.yaml", tmp_path / "sli.yaml")
    assert "(sum(rate(bad[4w])))" in rules
    assert "vector(0.005)" in rules
    assert "alert:" not in rules


@pytest.mark.parametrize("version", [V1, V2ALPHA])
def test_there_and_back_between_versions_is_the_same(tmp_path, converted, values, version):
    slo = SLO.replace("team: [a, b]", "team: a")
    there, back = ("openslo/v1", "openslo/v2alpha")[:: 1 if version == V2ALPHA else -1]
    paths = [tmp_path / name for name in ("start.yaml", "there.yaml", "back.yaml")]
    paths[0].write_text(
        converted(
            "openslo", there, _file(tmp_path, slo, SLI.replace("type: Prometheus", "metricSourceRef: main"))
        )
    )
    paths[1].write_text(converted("openslo", back, paths[0]))
    assert values(converted("openslo", there, paths[1])) == values(paths[0].read_text())


def _file(folder, *texts):
    path = folder / "all.yaml"
    path.write_text("---\n".join(texts))
    return path


def test_data_sources_of_v2alpha_are_put_in_place(tmp_path, converted, values):
    source = "apiVersion: openslo.com/v2alpha\nkind: DataSource\nmetadata: {name: main}\nspec: {type: Prometheus, connectionDetails: [{url: a}]}\n"
    sli = "apiVersion: openslo.com/v2alpha\nkind: SLI\nmetadata: {name: s}\nspec: {thresholdMetric: {dataSourceRef: main, spec: {query: up}}}\n"
    (only,) = values(converted("openslo", "openslo", _file(tmp_path, source, sli), inline=True))
    assert only["spec"]["thresholdMetric"] == {
        "dataSourceSpec": {"type": "Prometheus", "connectionDetails": [{"url": "a"}]},
        "spec": {"query": "up"},
    }


def test_sloth_to_openslo_and_on_to_rules_asks_the_same(tmp_path, converted, values):
    (tmp_path / "sloth.yaml").write_text(SLOTH)
    (tmp_path / "slo.yaml").write_text(converted("sloth", "openslo", tmp_path / "sloth.yaml"))
    direct, detour = (
        {
            rule["record"]: rule["expr"]
            for group in values(text)[0]["groups"]
            for rule in group["rules"]
            if "sli_error" in rule.get("record", "")
        }
        for text in (
            converted("sloth", "prometheus", tmp_path / "sloth.yaml"),
            converted("openslo", "prometheus", tmp_path / "slo.yaml"),
        )
    )
    assert direct == detour


def test_windows_of_a_catalogue_replace_the_workbooks(tmp_path, converted):
    (tmp_path / "a.yaml").write_text(SLOTH)
    (tmp_path / "w.yaml").write_text(WINDOWS)
    rules = converted("sloth", "prometheus", tmp_path / "a.yaml", windows=tmp_path / "w.yaml")
    assert "> 0.00672)" in rules  # 8 % of the budget of 0.05 % in 1 of 168 hours
    assert "ratio_rate1w" in rules


def test_a_catalogue_that_makes_no_sense_is_refused(tmp_path, mistakes):
    (tmp_path / "w.yaml").write_text(WINDOWS.replace("shortWindow: 5m", "shortWindow: 2h"))
    assert mistakes("sloth", "prometheus", SLOTH, windows=tmp_path / "w.yaml") == [
        ("w.yaml", 6, 36, "shortWindow 2h is not shorter than longWindow")
    ]


@given(st.integers(1, 10**7))
def test_a_duration_written_is_read_as_the_same(seconds):
    assert prometheus_us(prometheus_duration(seconds * 1_000_000)) == seconds * 1_000_000


@given(st.fractions(0, 1, max_denominator=10**6))
def test_a_figure_written_is_the_nearest_double(number):
    assert float(exact(number)) == float(number)


def test_the_exact_threshold_is_written_and_not_a_product_of_rounded_numbers():
    assert exact(Fraction("14.4") * (1 - Fraction("0.999"))) == "0.0144"
    assert exact(Fraction(10**7)) == "10000000"


@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"])
            | st.sampled_from("\n :#'-|")
        )
    )
)
def test_what_is_written_is_read_as_the_same_texts(values, texts):
    assert values(written([{"all": texts}])) == [{"all": texts}]


def test_texts_that_yaml_takes_for_values_are_quoted(tmp_path, converted, values):
    bent = SLOTH.replace("service: shop", 'service: shop\nlabels: {on: "yes", n: "1_000", half: "0.50"}')
    (tmp_path / "a.yaml").write_text(bent)
    text = converted("sloth", "prometheus", tmp_path / "a.yaml")
    for quoted in ("'on': 'yes'", "'n': '1_000'", "half: '0.50'"):
        assert quoted in text


def test_the_command_prints_the_rules_and_says_what_it_left_out(tmp_path):
    (tmp_path / "a.yaml").write_text(SLOTH.replace("    alerting:", "    colour: red\n    alerting:"))
    done = CliRunner().invoke(app, ["slo", "convert", "--from", "sloth", "--to", "prometheus", "--label", "team=x", "--no-alerts", str(tmp_path / "a.yaml")])  # fmt: skip
    assert done.exit_code == 0
    assert "team: x" in done.stdout
    assert "alert:" not in done.stdout
    assert f"{tmp_path}/a.yaml:10:5: slos[0].colour is not a field" in done.stderr


@given(
    text=st.sampled_from([SLOTH, SLO + "---\n" + SLI, WINDOWS]),
    damage=st.lists(st.tuples(st.integers(0, 15), st.sampled_from(["", "null", "[]", "{}", "- 1", "{a: b}", "'"])), max_size=3),
    source=st.sampled_from(Source),
    target=st.sampled_from(Target),
    inline=st.booleans(),
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_to_a_file_escapes_as_another_error(
    tmp_path, converted, text, damage, source, target, inline
):
    lines = text.splitlines()
    for number, value in damage:
        lines[number % len(lines)] = f"{lines[number % len(lines)].partition(':')[0]}: {value}"
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    with contextlib.suppress(ObjectiveFileError):
        converted(source, target, tmp_path / "a.yaml", inline=inline, windows=tmp_path / "a.yaml")
