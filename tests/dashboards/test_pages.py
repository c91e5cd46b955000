"""Every page renders, is whole by itself, and its scripts fit together."""

from __future__ import annotations

import json
import re

import pytest

from dashboards.figures.template import templates
from dashboards.pages import PAGES, RANGES, USUAL_RANGE, render, static_files

FILES = static_files()
SCRIPTS = {name: data.decode() for name, (data, _) in FILES.items() if name.endswith(".js")}
ALL_SCRIPTS = "\n".join(SCRIPTS.values())
EXPORTED = re.compile(r"^export (?:async )?(?:const|function) (\w+)", re.MULTILINE)
IMPORTED = re.compile(r'^import \{ ([^}]+) \} from "\./(\w+\.js)";$', re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
def test_a_page_names_itself_and_loads_its_own_script(page):
    html = render(page, plotly_url="/static/plotly.js?v=1")
    assert html.count("aria-current=page") == 1
    assert f"<title>{page.title} · Inferometer</title>" in html
    assert f'src="/static/{page.slug}.js"' in html
    assert "{" not in html
    for other in PAGES:
        assert f'href="{other.path}"' in html


def test_every_page_has_its_script():
    assert {page.slug + ".js" for page in PAGES} <= SCRIPTS.keys()


def test_the_usual_range_is_chosen():
    assert f'value="{USUAL_RANGE}"' in render(PAGES[0], plotly_url="")
    assert USUAL_RANGE in {each.slug for each in RANGES}


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_is_fetched_from_elsewhere(name):
    text = FILES[name][0].decode().replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text) == []


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_imports_what_is_exported_and_uses_all_of_it(name):
    text = SCRIPTS[name]
    body = IMPORTED.sub("", text)
    for names, source in IMPORTED.findall(text):
        exported = set(EXPORTED.findall(SCRIPTS[source]))
        wanted = {each.strip() for each in names.split(",")}
        assert wanted <= exported, source
        assert [each for each in wanted if not re.search(rf"\b{each}\b", body)] == [], source


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
def test_a_pages_script_imports_every_helper_that_it_calls(page):
    text = SCRIPTS[page.slug + ".js"]
    imported = {each.strip() for names, _ in IMPORTED.findall(text) for each in names.split(",")}
    own = set(re.findall(r"\b(?:const|let|function) (\w+)", text))
    for source in ("format.js", "charts.js", "app.js"):
        for helper in EXPORTED.findall(SCRIPTS[source]):
            if helper not in imported | own:
                used = re.search(rf"(?<![\w.$'\"`]){helper}\(|\$\{{{helper}\}}", text)
                assert used is None, f"{helper} of {source}"


def test_scripts_stay_small():
    assert sum(len(text) for text in SCRIPTS.values()) < 72_000
    assert max(text.count("\n") for text in SCRIPTS.values()) < 250


@pytest.mark.parametrize("name", sorted(templates()))
def test_a_figure_is_drawn_by_some_page_and_fills_every_trace(name):
    assert f'"{name}"' in ALL_SCRIPTS
    template = templates()[name]
    told = template.to_json()
    assert json.loads(json.dumps(told)) == told
    assert len(told["data"]) == len(told["fill"])
    assert all({"x", "y"} <= slots.keys() for slots in told["fill"])


@pytest.mark.parametrize("name", sorted(templates()))
def test_a_line_never_bridges_a_gap_and_colour_is_never_alone(name):
    traces = templates()[name].to_json()["data"]
    lines = [trace for trace in traces if trace["type"] == "scatter" and "lines" in trace.get("mode", "")]
    assert all(trace["connectgaps"] is False for trace in lines)
    assert all(trace["name"] for trace in lines)


def test_no_two_classes_of_cost_look_alike():
    styles = templates()["ledger"].to_json()["styles"]
    looks = [json.dumps(style, sort_keys=True) for style in styles.values()]
    assert len(set(looks)) == len(looks)
