"""The page about detectors says what the detectors do."""

from __future__ import annotations

import pytest

from anomalies.detector import registry


@pytest.mark.parametrize("detector", registry(), ids=lambda each: each.id)
def test_a_detector_has_a_section_with_its_title_and_what_it_needs(repository, detector):
    page = (repository / "docs/detectors.md").read_text()
    section = page.partition(f"\n## {detector.id}: {detector.title}\n")[2].partition("\n## ")[0]
    assert section, f"docs/detectors.md has no section `{detector.id}: {detector.title}`"
    assert all(need in section for need in detector.needs)
    assert f"| {detector.id} | {detector.title} | {detector.severity} |" in page
