"""The page on routes names every setting there is, and none that is not."""

import dataclasses
import re

from collector.requests.settings import MiddlewareSettings, ProxySettings


def test_the_page_names_every_setting(repository):
    page = (repository / "docs" / "requests.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z][a-z_]+)`", page))
    kept = {field.name for kind in (MiddlewareSettings, ProxySettings) for field in dataclasses.fields(kind)}
    assert named == kept
