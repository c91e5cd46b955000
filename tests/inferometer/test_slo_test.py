"""`inferometer slo test`: the page's example passes, and each difference is told at its place."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def example(repository, tmp_path):
    """Return the example of the page as files; its texts are replaced as asked."""
    objective, tests = re.findall(
        r"```yaml\n(.*?)```", (repository / "docs/slo-test.md").read_text(), re.DOTALL
    )

    def write(*changes, of_objective=()):
        changed = [objective, tests]
        for which, pairs in enumerate((of_objective, changes)):
            for old, new in pairs:
                assert old in changed[which]
                changed[which] = changed[which].replace(old, new, 1)
        (tmp_path / "chat.yaml").write_text(changed[0])
        (tmp_path / "chat.test.yaml").write_text(changed[1])
        return tmp_path / "chat.test.yaml"

    return write


def test_the_example_of_the_page_passes(cli, example):
    said = cli("slo", "test", example())
    assert (said.code, said.out.strip()) == (0, "3 tests passed")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("eval_time: 60m ", "eval_time: 62m "), "chat-ttft at 62m: expected no alert, got ticket {model: llama}; llama burns 5m 40x"),
        (("severity: page", "severity: ticket"), "at 64m: expected ticket {model: llama}, got page {model: llama} and ticket"),
        (("good: 6000", "good: 6001"), "at 70m: expected good 6001, got 6000"),
        (("budget_left: -13.29", "budget_left: -13.3"), None),
        (("left: -13.29", "left: -13.2858"), "expected budget_left -13.2858, got -13.2857143"),
        (("1h: 16.67", "1h: 16.66"), "expected burn over 1h 16.66, got 16.6666667"),
        (("total: 51", "total: 52"), "the limit is inclusive: chat-ttft at 3m: expected total 52, got 51"),
        (("1h: no data, 6h: 100", "1h: 0, 6h: 100"), "expected burn over 1h 0, got no data"),
    ],
)  # fmt: skip
def test_a_difference_is_told_at_its_place(cli, example, change, told):
    file = example(change)
    said = cli("slo", "test", file)
    if told is None:
        assert said.code == 0
        return
    line = next(
        at
        for at, text in enumerate(file.read_text().splitlines(), 1)
        if change[1] in text and change[0] not in text
    )
    assert said.code == 1 and told in said.err
    assert re.search(rf"chat\.test\.yaml:({line}|{line - 1}|{line - 2}):\d+: ", said.err)


def test_a_changed_objective_fails_its_tests(cli, example):
    said = cli("slo", "test", example(of_objective=[("value: 2,", "value: 3,")]))
    assert said.code == 1 and "expected good 50, got 51" in said.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("eval_time: 64m", "eval_time: 90s"), "'90s' is not whole minutes"),
        (("eval_time: 64m", "eval_time: 40d"), "'40d' is over 31d"),
        (("100x60 0x10", "100x60 a"), "'a' is not a count"),
        (("severity: page", "severity: pager"), "'pager' is no severity"),
        (("ttft: 2s", "ttfft: 2s"), "did you mean ttft?"),
        (("ttft: 2s", "status: fine"), "'fine' is none of its words"),
        (("{5m: 100", "{7m: 100"), "chat-ttft is not measured over 7m"),
        (("every: 1s, ", ""), "say how far apart"),
        (("good: 6000", "objective: chat"), "no objective is called 'chat'"),
        (("labels: {model", "labels: {modle"), "did you mean model?"),
        (("input_series", "input_serie"), "did you mean input_series?"),
        (("total: 7000", "total: many"), "'many' is not a number"),
    ],
)
def test_a_mistake_in_a_test_file_is_located(cli, example, change, told):
    said = cli("slo", "test", example(change))
    assert said.code == 1 and told in said.err
    assert re.search(r"chat\.test\.yaml:\d+:\d+: ", said.err)


def test_an_objective_file_that_is_not_there(cli, example):
    said = cli("slo", "test", example(("chat.yaml", "chad.yaml")))
    assert said.code == 1 and "chad.yaml:1:1: cannot be read" in said.err


def test_a_file_without_tests_and_one_that_is_not_there(cli, tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert "the file holds no test" in cli("slo", "test", "empty.yaml").err
    assert "cannot be read" in cli("slo", "test", "nowhere.yaml").err


def test_a_file_of_something_else_is_told_what_a_test_file_has(cli, tmp_path):
    (tmp_path / "objective.yaml").write_text("apiVersion: openslo/v1\nkind: SLO\n")
    said = cli("slo", "test", "objective.yaml")
    assert said.code == 1 and "tests is missing; see docs/slo-test.md for an example" in said.err
    assert "objective_files is missing" in said.err and "docs/objectives.md" not in said.err
