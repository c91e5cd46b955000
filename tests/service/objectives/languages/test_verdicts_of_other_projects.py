"""Every OpenSLO and Sloth case ends as the project it is from says; without a verdict it is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from service.objectives.mistakes import ObjectiveFileError

FIXTURES = Path(__file__).parents[4] / "../shared/fixtures/slo"
FOLDERS = {
    "sloth": "sloth",
    "sloth-validate": "sloth",
    "promtool": "sloth",
    "openslo-decode": "openslo",
    "openslo-export": "openslo",
    "openslo-inline": "openslo",
    "openslo-valid": "openslo",
    "openslo-validate": "openslo",
}
CASES = sorted(each for folder in FOLDERS for each in (FIXTURES / folder).glob("*") if each.is_dir())
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not CASES, reason="needs ../shared/fixtures/slo"),
]


def _named(path):
    return f"{path.parent.name}/{path.name}"


def _verdict(case):
    told = case / "verdict.yaml"
    return YAML(typ="safe", pure=True).load(told)["verdict"] if told.exists() else "valid"


@pytest.mark.parametrize("case", CASES, ids=_named)
def test_a_case_ends_as_its_verdict_says(case, converted):
    source = FOLDERS[case.parent.name]
    inline = case.parent.name == "openslo-inline" and case.name != "custom_config"
    inputs = sorted(case.glob("*input*.yaml"))
    assert inputs
    target = "prometheus" if source == "sloth" else "openslo"
    if _verdict(case) == "valid":
        assert converted(source, target, *inputs, inline=inline)
    else:
        with pytest.raises(ObjectiveFileError):
            converted(source, target, *inputs, inline=inline)


@pytest.mark.parametrize("case", [case for case in CASES if _verdict(case) == "valid"], ids=_named)
def test_what_is_accepted_is_written_in_a_form_that_is_accepted(case, converted, tmp_path):
    source, inputs = FOLDERS[case.parent.name], sorted(case.glob("*input*.yaml"))
    written = tmp_path / "again.yaml"
    written.write_text(converted(source, "openslo", *inputs))
    assert converted("openslo", "openslo", written, inline=source == "sloth") == written.read_text()


@pytest.mark.parametrize(
    "path", sorted(FIXTURES.glob("sloth-windows/*/windows.yaml")), ids=lambda p: p.parent.name
)
def test_a_catalogue_of_windows_is_read(path, converted):
    text = converted("sloth", "prometheus", FIXTURES / "sloth/integration-base/input.yaml", windows=path)
    period = YAML(typ="safe", pure=True).load(path)["spec"]["sloPeriod"]
    assert f"vector({period.removesuffix('d')})" in text


MESSAGES = {
    # Two the SDK of today no longer has: a time zone its container lacked, and `op` beside a ratio.
    "v1": [("metadata.name", "'example service' is not a name")],
    "v1alpha": [
        ("metadata.name", "'my-rad service' is not a name"),
        ("spec.objectives[0].value", "is missing"),
        ("spec.objectives[0].timeSliceTarget", "is missing"),
    ],
    "unknown-field": [("metadata.name", "is not a name"), ("spec.markdown", "is not a field")],
    "mix-1": [("metadata.name", "is not a name")],
    "mix-3": [("metadata.name", "is not a name")],
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_refusal_names_every_fault_that_the_project_names(name, converted):
    with pytest.raises(ObjectiveFileError) as raised:
        converted("openslo", "openslo", FIXTURES / "openslo-validate" / name / "bad-input.yaml")
    causes = [each.cause for each in raised.value.mistakes]
    assert len(causes) == len(MESSAGES[name])
    for path, said in MESSAGES[name]:
        assert any(path in cause and said in cause for cause in causes), (path, causes)
