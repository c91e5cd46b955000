"""NVIDIA's catalogue as data, and what four fleets make of the same code."""

from __future__ import annotations

import pytest

from collector.hardware.policies import POLICIES, Verdict
from collector.hardware.reports import Report, Route
from collector.hardware.sentences import said_verdict, xid_sentence
from collector.hardware.xids import CATALOGUE, Action, xid_of

# The catalogue's classes, once more and by hand: a slip of the table's pen is seen here.
RESTART = {8, 11, 13, 25, 31, 32, 39, 40, 41, 60, *range(68, 73), 75, 76, 77, 80, *range(82, 87), 88, 89, 94, *range(96, 106), *range(126, 136), 139}  # fmt: skip
RESET = {46, 62, 64, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158}
IGNORE = {14, 37, 38, 43, 44, 63, 66, 67, 92, 93, 106, 107, 108, 121, 137, 141, 152, 153, 157, 160, 161}


def codes(action):
    return {code for code, xid in CATALOGUE.items() if xid.action is action}


def test_the_table_has_all_172_codes_each_once():
    assert list(CATALOGUE) == list(range(1, 173))
    assert all(xid.words for xid in CATALOGUE.values())


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Action.RESTART_APP, RESTART),
        (Action.RESET_GPU, RESET),
        (Action.IGNORE, IGNORE),
        (Action.REBOOT_NODE, {79}),
        (Action.RESTART_VM, {151}),
        (Action.CHECK_CABLES, {54}),
        (Action.UPDATE_SOFTWARE, {78}),
        (Action.WORKFLOW, {45, 48, 74, *range(144, 151), 154, 159}),
        (Action.UNKNOWN, set(range(162, 173))),
    ],
)
def test_each_action_has_the_catalogues_codes(action, expected):
    assert codes(action) == expected


def test_every_other_code_is_for_support():
    assert {xid.words for code, xid in CATALOGUE.items() if xid.action is Action.CONTACT_SUPPORT} == {
        "unused",
        "video encoder error",
    }


def test_a_code_newer_than_the_catalogue_has_no_action():
    assert xid_of(999).action is Action.UNKNOWN


FATAL, IGNORED, APP, INSPECT = Verdict.FATAL, Verdict.IGNORED, Verdict.APPLICATION, Verdict.INSPECT


@pytest.mark.parametrize(
    ("code", "nvidia", "k8s", "meta", "azure"),
    [
        (13, APP, IGNORED, IGNORED, IGNORED),
        (31, APP, IGNORED, IGNORED, IGNORED),
        (43, IGNORED, IGNORED, IGNORED, IGNORED),
        (45, IGNORED, IGNORED, IGNORED, IGNORED),
        (48, INSPECT, FATAL, FATAL, FATAL),
        (63, IGNORED, FATAL, IGNORED, FATAL),
        (64, FATAL, FATAL, FATAL, FATAL),
        (68, APP, IGNORED, IGNORED, FATAL),
        (74, INSPECT, FATAL, FATAL, FATAL),
        (79, FATAL, FATAL, FATAL, FATAL),
        (92, IGNORED, FATAL, IGNORED, FATAL),
        (94, APP, FATAL, FATAL, IGNORED),
        (95, FATAL, FATAL, FATAL, IGNORED),
        (109, FATAL, IGNORED, IGNORED, IGNORED),
        (119, FATAL, FATAL, FATAL, FATAL),
        (999, INSPECT, FATAL, FATAL, IGNORED),
    ],
)
def test_fleets_disagree(code, nvidia, k8s, meta, azure):
    said = {name: policy.verdict(code) for name, policy in POLICIES.items()}
    assert said == {"nvidia": nvidia, "k8s": k8s, "meta": meta, "azure": azure}


@pytest.mark.parametrize(
    ("code", "fatal", "verdict"),
    [
        (145, None, INSPECT),
        (145, False, IGNORED),
        (145, True, FATAL),
        (154, False, IGNORED),
        (79, False, FATAL),
    ],
)
def test_the_kernel_lines_own_word_decides_where_the_code_alone_does_not(code, fatal, verdict):
    assert POLICIES["nvidia"].verdict(code, fatal=fatal) is verdict


def test_only_what_needs_a_hand_stands():
    assert [verdict for verdict in Verdict if verdict.stands] == [INSPECT, FATAL]


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("gpu", ["GPU-1", "0000:65:00"])
@pytest.mark.parametrize("code", [13, 48, 79, 999])
def test_a_sentence_says_its_verdict_to_people_and_to_the_service(verdict, gpu, code):
    report = Report(gpu=gpu, code=code, route=Route.DRIVER, after_us=0, at_us=0, pid=7)
    assert said_verdict(xid_sentence(report, verdict)) is verdict


@pytest.mark.parametrize(
    "message", ["", "Xid 79", "somebody said Xid 79, fatal: boom", "Xid 79, terrible: x"]
)
def test_another_message_says_no_verdict(message):
    assert said_verdict(message) is None
