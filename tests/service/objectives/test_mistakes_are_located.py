"""Every mistake of a file is told at once, with its line, column, cause and hint."""

from __future__ import annotations

import random

import pytest
from ruamel.yaml.composer import Composer

from service.objectives.files import parse, read, starter
from service.objectives.located import MAX_VALUES
from service.objectives.mistakes import ObjectiveFileError


def test_five_mistakes_are_five_errors(chat, mistakes_of):
    text = chat.replace("indicator: ttft", "indicator: tfft")
    text = text.replace("0.99", "99").replace("30d", "1M").replace("Occurrences", "Requests")
    text = text.replace("displayName", "dispalyName")
    found = mistakes_of(text)
    assert [(line, column) for line, column, *_ in found] == [(5, 3), (14, 13), (19, 17), (21, 3), (23, 15)]
    assert [(cause, hint) for _, _, cause, hint in found] == [
        ("metadata.dispalyName is not a field", "did you mean displayName?"),
        ("no indicator is called 'tfft'", "did you mean ttft?"),
        (
            "spec.timeWindow[0].duration: '1M' is a calendar period of no fixed length",
            "write days, such as 30d",
        ),
        ("budgets are not counted in 'Requests'", "use one of Occurrences, Timeslices, RatioTimeslices"),
        ("spec.objectives[0].target: 99 is not between 0 and 1", "write 0.99, or targetPercent: 99"),
    ]


def test_the_message_has_a_line_an_editor_can_jump_to(chat):
    with pytest.raises(ObjectiveFileError) as refused:
        parse(chat.replace("limit: 2s", "limit: 2 parsecs"), "slo.yaml")
    assert str(refused.value) == (
        "slo.yaml:15:20: spec.indicator.spec.thresholdMetric.metricSource.spec.limit: "
        "'2 parsecs' has no unit that is known; use one of d, h, m, s, ms, us, w"
    )
    assert refused.value.permanent


@pytest.mark.parametrize(
    ("old", "new", "line", "cause", "hint"),
    [
        ("openslo/v1", "openslo/v1alpha", 1, "'openslo/v1alpha' is not read here", "write openslo/v1"),
        ("kind: SLO", "kind: Service", 2, "'Service' is not read here", "write kind: SLO"),
        ("  name: chat-ttft\n", "", 3, "metadata.name is missing", "docs/objectives.md"),
        ("name: chat-ttft", "name: Chat TTFT", 4, "'Chat TTFT' is not a name", "use at most 63"),
        ("service: chat", "servcie: chat", 7, "spec.servcie is not a field", "did you mean service?"),
        ("type: inferometer", "type: Prometheus", 12, "metrics of 'Prometheus' are not judged", "type: inferometer"),
        ("limit: 2s", "limit: 2", 15, "'2' is not a duration", "such as 2s, 100ms or 30d"),
        ("limit: 2s", "limit: 0s", 15, "longer than nothing", "write one such as 2s"),
        ("            limit: 2s\n", "", 14, "the limit of ttft is missing", "write limit: 2s"),
        ("limit: 2s", "limt: 2s", 15, "limt is not a field", "did you mean limit?"),
        ("pool: chat", "pol: chat", 16, "pol is not a field", "did you mean pool?"),
        ("[model, tenant]", "[modle, tenant]", 17, "no text column 'modle'", "did you mean model?"),
        ("[model, tenant]", "[model, model]", 17, "a column is named twice", "name each column once"),
        ("[model, tenant]", "model", 17, "must be a list", "begin each entry with a dash"),
        ("duration: 30d", "duration: 90d", 19, "90d is not a window", "write 30d"),
        ("duration: 30d", "duration: 6h", 19, "no longer", "lengthen the window"),
        ("isRolling: true", "isRolling: false", 19, "timeWindow[0].calendar is missing", "docs/objectives.md"),
        ("isRolling: true", "isRolling: maybe", 20, "neither true nor false", "write true or false"),
        ("Occurrences", "Timeslice", 21, "budgets are not counted in 'Timeslice'", "did you mean Timeslices?"),
        ("target: 0.99", "target: 1", 23, "not between 0 and 1", "0.999"),
        ("target: 0.99", "target: nan", 23, "not a number", "99.9"),
        ("target: 0.99", "target: 0.5", 23, "no page could ever fire", "raise the target"),
        ("target: 0.99", "targetPercent: 100", 23, "not between 0 and 100", "99.9"),
        ("target: 0.99", "{target: 0.9, targetPercent: 90}", 23, "given twice", "keep"),
        ("    - target: 0.99", "    []", 22, "nothing is promised", "- target"),
        ("target: 0.99", "target: 0.99\n    - target: 0.9", 24, "promises one thing", "of its own"),
        ("limit: 2s", "limit: " + "2" * 2_000, 15, "over 1050 characters", "shorter"),
        ("target: 0.99", "target: 0.99\n      op: lte\n      value: 2", 15, "the limit is given twice", "keep it here"),
        ("target: 0.99", "target: 0.99\n      op: lt", 24, "inclusive upper ones, not 'lt'", "op: lte"),
        ("target: 0.99", "target: 0.99\n  alertPolicies: [{alertPolicyRef: wrokbook}]", 24, "'wrokbook'", "did you mean workbook?"),
        ("ttft\n            limit: 2s", "availability", 10, "availability has no single limit", "ratioMetric"),
        ("service: chat", "service: chat\n  service: code", 8, "service is given twice", "keep one"),
        ("service: chat", "service: [chat", 8, "not YAML", "docs/objectives.md"),
        ("service: chat", "service: {a: b}", 7, "must be a single value", "one word"),
        ("metadata:\n  name: chat-ttft\n  displayName: TTFT", "metadata: chat", 3, "metadata must be a mapping", "key: value"),
    ],
)  # fmt: skip
def test_each_mistake_is_located_and_explained(chat, mistakes_of, old, new, line, cause, hint):
    assert chat.count(old) == 1
    found = mistakes_of(chat.replace(old, new))
    assert len(found) == 1, found
    assert found[0][0] == line
    assert cause in found[0][2]
    assert hint in found[0][3]


def test_a_misspelt_target_is_not_missing_as_well(chat, mistakes_of):
    found = mistakes_of(chat.replace("target:", "targettPercent:"))
    assert [(cause, hint) for _, _, cause, hint in found] == [
        ("spec.objectives[0].targettPercent is not a field", "did you mean targetPercent?")
    ]


def test_one_name_in_two_files_is_refused(tmp_path, chat):
    (tmp_path / "a.yaml").write_text(chat)
    (tmp_path / "b.yaml").write_text(chat)
    with pytest.raises(
        ObjectiveFileError, match=r"two objectives are called chat-ttft; it is also in .*a\.yaml"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "holds no objective"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"hello", "must be a mapping"),
        (b"a: b: c", "not YAML"),
        (b"\x00", "not YAML"),
        (b"[" * 500, "nested deeper"),
        (b"&a [*a]", "nested deeper"),
        (b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 10)) for n in range(8)
        ), "values"),
        (b"# " + b"x" * 1024 * 1024, "over 1048576 bytes"),
    ],
    ids=["empty", "not-text", "a-word", "not-yaml", "nul", "deep", "recursive", "billion-laughs", "large"],
)  # fmt: skip
def test_a_hostile_file_is_one_clear_error(tmp_path, content, cause):
    path = tmp_path / "slo.yaml"
    path.write_bytes(content)
    with pytest.raises(ObjectiveFileError, match=cause):
        read(path)


@pytest.mark.parametrize("text", ["[" * 10**6, "a: [" + "x," * 5 * 10**5 + "]"], ids=["deep", "wide"])
def test_no_more_of_a_hostile_file_is_taken_apart_than_the_bounds_allow(monkeypatch, text):
    composed = []
    compose = Composer.compose_node

    def counting(self, parent, index):
        composed.append(1)
        return compose(self, parent, index)

    monkeypatch.setattr(Composer, "compose_node", counting)
    with pytest.raises(ObjectiveFileError, match="nested deeper"):
        parse(text, "hostile.yaml")
    assert len(composed) <= MAX_VALUES


def test_a_folder_without_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(
        ObjectiveFileError, match=r"no YAML file; give a folder with files that end in \.yaml"
    ):
        read(tmp_path)


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(ObjectiveFileError, match="cannot be read: No such file"):
        read(tmp_path / "none.yaml")


def test_no_damage_to_a_file_escapes_as_another_error(chat):
    """1,000 seeded damages: characters cut, doubled, swapped for YAML's own signs."""
    chance = random.Random(20261121)
    refused = 0
    for _ in range(1_000):
        text = list(chat)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(text))
            text[at] = chance.choice(["", text[at] * 2, *"\n:-[]{}&*!|>'\"%@`#,? \t0", "\x00", "é"])
        try:
            parse("".join(text), "f")
        except ObjectiveFileError:
            refused += 1
    assert refused > 500


def test_long_words_are_cut_in_the_message(chat, mistakes_of):
    assert len(mistakes_of(chat.replace("limit: 2s", "limit: " + "x" * 100_000))[0][2]) < 500


def test_the_starters_have_no_mistakes():
    assert starter()
