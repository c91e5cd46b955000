"""The pages as a person meets them: in a browser, over a service that really runs."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dashboards.pages import PAGES
from telemetry.samples import EngineSample, ReplicaState

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser"), pytest.mark.timeout(120)]
SHOT = Path(__file__).parents[2] / "docs" / "images" / "overview.png"
S = 1_000_000

CONTRAST = """
const channel = (value) => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    if (color.length < 4 || color[3] > 0.99) return color;
  }
  return [255, 255, 255];
};
const poor = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim());
  if (!own || element.closest("svg, .skip") || !element.checkVisibility() || element.disabled) continue;
  const style = getComputedStyle(element);
  const [one, two] = [light(parse(style.color)), light(behind(element))].sort((a, b) => b - a);
  const ratio = (one + 0.05) / (two + 0.05);
  if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className}: ${element.textContent.slice(0, 40)}`);
}
return poor;
"""


def path_of(browser):
    address = urlsplit(browser.driver.current_url)
    return address.path, {name: values[0] for name, values in parse_qs(address.query).items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
def test_a_page_opens_with_a_sentence_wears_the_mark_and_draws_without_a_complaint(browser, troubled, page):
    browser.open(f"{troubled.url}{page.path}?range=5m")
    assert browser.text("nav a[aria-current=page]") == page.title
    assert browser.text("#sentence").endswith(".")
    assert "SIMULATED" in browser.text("#marks")
    assert "newest fact" in browser.text("#live")
    assert browser.text("#failure") == ""
    undrawn = """return [...document.querySelectorAll(".chart")].filter((each) =>
        !each.querySelector(".main-svg") || !each.getAttribute("aria-label").includes("last ")).length"""
    assert browser.run(undrawn) == 0
    assert browser.complaints() == []


def test_the_overview_says_what_burns_what_is_idle_and_what_it_costs(browser, troubled):
    browser.open(f"{troubled.url}/?range=5m")
    said = browser.text("#sentence")
    assert "promises burn faster than their budget allows." in said
    assert "admits nothing" in said
    assert "an hour stands idle." in said
    assert browser.run("return document.querySelectorAll('#fleet .cell').length") == 8
    assert browser.run("return document.querySelectorAll('#fleet .cell.waits').length") >= 2
    assert "idle.ready" in browser.text("#money")
    assert browser.run("return document.querySelectorAll('#promises .burn.fires').length") >= 2


def test_a_finding_leads_to_its_samples(browser, troubled):
    browser.open(f"{troubled.url}/?range=15m")
    browser.click("#sentence a[href*='finding=a1-']")
    path, query = path_of(browser)
    assert path == "/alerts" and query["range"] == "15m"
    assert "admits nothing" in browser.text("#one")
    assert "first bad sample" in browser.text("#one")
    assert browser.run("return document.querySelectorAll('#evidence .main-svg').length") > 0
    assert "waiting: last" in browser.run(
        "return document.querySelector('#evidence .chart').getAttribute('aria-label')"
    )


def test_the_link_in_a_webhook_leads_to_the_same_finding(browser, troubled):
    alerts = troubled.view("alerts")["alerts"]
    incident = next(alert["incident"] for alert in alerts if alert["name"] == "A1")
    browser.open(f"{troubled.url}/alerts#{incident}")
    assert "admits nothing" in browser.text("#one")
    incident = next(alert["incident"] for alert in alerts if alert["objective"])
    browser.open(f"{troubled.url}/alerts?incident={incident}")
    browser.click("#one p a")
    path, query = path_of(browser)
    assert path == "/objectives" and query["group"].startswith("sim-")
    assert browser.text("#pairs")


def test_a_burn_leads_to_the_minutes_that_burnt_and_to_who_spent_them(browser, troubled):
    browser.open(f"{troubled.url}/?range=5m")
    browser.click("#promises td.n a.quiet")
    path, query = path_of(browser)
    assert path == "/objectives" and {"name", "group"} <= query.keys()
    assert "too late" in browser.text("#spent")
    browser.click("#spent td.n a")
    assert path_of(browser)[0] == "/requests"
    browser.click("#worst td:nth-child(2) a")
    assert "to" in path_of(browser)[1]
    assert browser.run("return document.querySelectorAll('#one .track').length") >= 2


def test_a_cell_leads_to_its_replica_and_the_filter_can_be_taken_away(browser, troubled):
    browser.open(f"{troubled.url}/?range=5m")
    browser.click("#fleet .cell.waits")
    replica = path_of(browser)[1]["replica"]
    assert replica in browser.text("#filters")
    assert browser.run("return document.querySelectorAll('#gpus tbody tr').length") in {1, 2}
    browser.click("#filters .chip")
    assert "replica" not in path_of(browser)[1]
    assert browser.run("return document.querySelectorAll('#gpus tbody tr').length") == 8


def test_a_cost_leads_to_its_ledger_rows_and_the_bill_adds_up(browser, troubled):
    browser.open(f"{troubled.url}/cost?range=5m")
    assert "adds up" in browser.text("#check") and "No difference." in browser.text("#check")
    browser.click("#tenants tbody tr a")
    tenant = path_of(browser)[1]["tenant"]
    tenants = "return [...new Set([...document.querySelectorAll('#rows tbody td:nth-child(5)')].map((each) => each.innerText))]"
    assert browser.run(tenants) == [tenant]


def test_every_chart_is_also_a_table(browser, troubled):
    browser.open(f"{troubled.url}/requests?range=5m")
    browser.run("document.querySelector('#ttft summary').click()")
    browser.until("return document.querySelectorAll('#ttft details tbody tr').length > 10")
    assert "p95" in browser.text("#ttft details thead")


def test_it_is_brought_up_to_date_without_reload_and_takes_no_focus_away(browser, troubled):
    browser.open(f"{troubled.url}/?range=5m")
    drawn = browser.run(
        "window.stays = 'here'; document.querySelector('#promises a').focus(); return document.body.dataset.drawn"
    )
    before = browser.run("return document.querySelector('#demand .chart').getAttribute('aria-label')")
    browser.until("return Number(document.body.dataset.drawn) >= Number(arguments[0]) + 3", drawn)
    assert browser.run("return window.stays") == "here"
    assert browser.run("return document.activeElement.closest('#promises') !== null")
    assert browser.run("return document.querySelector('#demand .chart').getAttribute('aria-label')") != before
    assert browser.complaints() == []


def test_a_moment_can_be_kept_and_compared_and_left_again(browser, troubled):
    browser.open(f"{troubled.url}/gpus?range=5m")
    browser.click("#compare")
    browser.click("#pin")
    query = path_of(browser)[1]
    assert {"range", "to", "compare"} <= query.keys()
    assert "ends" in browser.text("#live") and "LOOKING BACK" in browser.text("#marks")
    names = "return document.querySelector('#activity .chart').data.map((trace) => trace.name)"
    assert "SM activity, before" in browser.run(names)
    drawn = browser.run("return document.body.dataset.drawn")
    browser.click("#earlier")
    assert path_of(browser)[1]["to"] < query["to"]
    assert drawn == "1"
    browser.click("#pin")
    assert "to" not in path_of(browser)[1]


def test_it_can_be_used_by_keyboard_alone(browser, troubled):
    from selenium.webdriver.common.keys import Keys

    browser.open(f"{troubled.url}/?range=5m")
    browser.press(Keys.TAB)
    assert browser.run("return document.activeElement.innerText") == "Skip to content"
    browser.press(Keys.ENTER, Keys.TAB)
    assert browser.run("return document.activeElement.closest('#content') !== null")
    outlined = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.run(outlined) == "solid"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
def test_a_page_is_whole_on_a_phone_and_readable_in_the_dark(browser, troubled, page):
    browser.open(f"{troubled.url}{page.path}?range=5m")
    assert browser.run(CONTRAST) == []
    browser.size(390, 844)
    browser.dark(on=True)
    browser.open(f"{troubled.url}{page.path}?range=5m")
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    hidden = """return [...document.querySelectorAll("nav a, .tools *, h2")].filter((each) =>
        each.getBoundingClientRect().right > 391).map((each) => each.innerText)"""
    assert browser.run(hidden) == []
    paper = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
    assert paper == "rgb(15, 19, 23)"
    assert browser.run(CONTRAST) == []
    assert browser.complaints() == []


def _sample(at_us):
    return EngineSample(
        at_us=at_us, replica="h:8000", host="h", engine="vllm", model="m", state=ReplicaState.READY,
        requests_running=1, requests_waiting=0,
    )  # fmt: skip


def test_a_stranger_signs_in_finds_nothing_then_old_facts_then_fresh_ones_then_nobody(browser, closed):
    import time

    browser.driver.get(closed.url)
    browser.until("return document.querySelector('form.signin')")
    browser.run("document.querySelector('form.signin input').value = 'inf_wrong'")
    browser.run("document.querySelector('form.signin button').click()")
    browser.until("return document.querySelector('form.signin .note').innerText.includes('not known')")
    browser.run("document.querySelector('form.signin input').value = arguments[0]", closed.admin)
    browser.run("document.querySelector('form.signin button').click()")
    browser.until("return Number(document.body.dataset.drawn) > 0")
    assert browser.text("#sentence").startswith("No facts have arrived")
    assert f"inferometer agent --server {closed.url}" in browser.text("#start")
    assert "no facts yet" in browser.text("#live")

    closed.post([_sample(time.time_ns() // 1_000 - 45 * S)])
    browser.until("return document.body.classList.contains('stale')")
    assert "stale" in browser.text("#live")
    assert browser.text("#sentence").startswith("Nothing has been heard for 4")

    closed.post([_sample(time.time_ns() // 1_000)])
    browser.until("return !document.body.classList.contains('stale')")
    assert "Nothing has been heard" not in browser.text("#sentence")

    closed.stop()
    browser.until("return document.querySelector('#live').innerText.includes('not connected')")
    assert browser.run("return document.body.classList.contains('stale')")


def test_the_overview_is_the_picture_in_the_readme(browser, troubled):
    browser.open(f"{troubled.url}/?range=5m")
    height = browser.run("return Math.ceil(document.querySelector('#demand').getBoundingClientRect().bottom)")
    browser.size(1366, height + 14)
    browser.until("return Number(document.body.dataset.drawn) > 1")
    picture = browser.driver.get_screenshot_as_png()
    assert len(picture) > 20_000
    if os.environ.get("INFEROMETER_TEST_SCREENSHOTS") == "1":
        SHOT.parent.mkdir(exist_ok=True)
        SHOT.write_bytes(picture)
