"""References resolved and set free, compared with the OpenSLO SDK as YAML values."""

from __future__ import annotations

from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[4] / "../shared/fixtures/slo"
CASES = sorted(each.parent for each in FIXTURES.glob("openslo-*/*/expected.yaml"))
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not CASES, reason="needs ../shared/fixtures/slo"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_values_are_those_of_the_sdk(case, converted, values, exceptions):
    alone = f"{case.parent.name}/{case.name}" in {row["where"] for row in exceptions}
    inline = case.parent.name == "openslo-inline" and not alone
    ours = values(converted("openslo", "openslo", case / "input.yaml", inline=inline))
    (theirs,) = values((case / "expected.yaml").read_text())
    assert ours == theirs


def test_exceptions_are_few_and_have_reasons(exceptions):
    assert len(exceptions) <= 5
    assert all(row["where"] and row["what"] and row["why"] for row in exceptions)
