"""Writes what each page of ../shared/fixtures/engines says, as numbers, for review by eye.

Run it after a map has changed on purpose: `python tests/collector/scraping/golden/write.py`; then read the
difference against the pages. The pages themselves are never committed.
"""

import json
from pathlib import Path

from collector.scraping.saved_page import SavedPage, normalise

HERE = Path(__file__).parent
PAGES = HERE.parents[3] / "shared" / "fixtures" / "engines"


def golden(page: SavedPage) -> dict:
    """Return what is compared: every value that is told, and the names of all that is not."""
    return {
        "engine": page.engine,
        "version_range": page.version_range and list(page.version_range),
        "replicas": [
            {
                "labels": dict(replica.labels),
                "values": {word: value for word, value in replica.values.items() if value is not None},
            }
            for replica in page.replicas
        ],
        "missing": list(page.missing),
        "renamed": {rename.value: rename.found for rename in page.renamed},
    }


if __name__ == "__main__":
    for path in sorted(PAGES.glob("*.prom")):
        told = golden(normalise(path.read_bytes()))
        (HERE / f"{path.stem}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
