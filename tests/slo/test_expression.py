"""Conditions that users write: three-valued as a loop in Python would be, and nothing is ever executed."""

from __future__ import annotations

import ast
import operator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.errors import ObjectiveError
from slo.expression import MOST_PARTS, ExpressionError, expression
from slo.indicators.predicate import Predicate
from telemetry.frame import Frame
from telemetry.requests import Finish, RequestRecord, Status

KEPT, BROKEN, UNKNOWN = True, False, None


def judged(text, frame):
    promise = expression(text, "requests").of(frame)
    return [
        None if not (kept or broken) else bool(kept)
        for kept, broken in zip(promise.kept, promise.broken, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("e2e_us == 10_000_000", KEPT),
        ("e2e_us != 10_000_000", BROKEN),
        ("1 < retry + 2 <= 2 < 3", KEPT),
        ("ttft_us > 1", UNKNOWN),
        ("ttft_us > 1 or e2e_us > 1", KEPT),
        ("ttft_us > 1 or e2e_us < 1", UNKNOWN),
        ("ttft_us > 1 and e2e_us < 1", BROKEN),
        ("ttft_us > 1 and e2e_us > 1", UNKNOWN),
        ("not ttft_us > 1", UNKNOWN),
        ("not (e2e_us < 1)", KEPT),
        ("ttft_us is None", KEPT),
        ("ttft_us is not None", BROKEN),
        ("finish is None and pool is None and model is not None", KEPT),
        ("finish == 'stop'", UNKNOWN),
        ("finish != 'stop'", UNKNOWN),
        ("tenant == 'acme'", KEPT),
        ("'acme' == tenant", KEPT),
        ("tenant != 'other'", KEPT),
        ("tenant in ('a', 'acme')", KEPT),
        ("tenant not in ['a', 'b']", KEPT),
        ("retry in (1, 2)", BROKEN),
        ("stream", KEPT),
        ("not stream", BROKEN),
        ("output_empty", UNKNOWN),
        ("output_empty or True", KEPT),
        ("e2e_us / retry > 0", UNKNOWN),
        ("e2e_us / (retry + 4) == 2.5e6", KEPT),
        ("-e2e_us + 3 * 2 - +1 < -1", KEPT),
        ("e2e_us" + " * 9e15" * 20 + " > 1", UNKNOWN),
        ("  e2e_us\n > 1  ", KEPT),
    ],
)  # fmt: skip
def test_meaning(requests_frame, text, verdict):
    assert judged(text, requests_frame({})) == [verdict]


COMPARE = {"<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">=": operator.ge}
names = st.sampled_from(["ttft_us", "prompt_tokens", "output_tokens"])
comparisons = st.builds(
    lambda a, op, b: f"{a} {op} {b}", names, st.sampled_from([*COMPARE]), names | st.integers(0, 4)
)
texts = st.sampled_from(["finish == 'stop'", "finish in ('stop', 'length')", "stream", "ttft_us is None"])
conditions = st.recursive(
    comparisons | texts,
    lambda inner: (
        st.builds(lambda a, b: f"({a} and {b})", inner, inner)
        | st.builds(lambda a, b: f"({a} or {b})", inner, inner)
        | st.builds(lambda a: f"(not {a})", inner)
    ),
    max_leaves=8,
)
small = st.none() | st.integers(0, 4)
records = st.builds(
    RequestRecord,
    request_id=st.just("r"),
    model=st.just("m"),
    status=st.just(Status.OK),
    started_at_us=st.just(0),
    ended_at_us=st.just(0),
    e2e_us=st.just(0),
    ttft_us=small,
    prompt_tokens=small,
    output_tokens=small,
    stream=st.booleans(),
    finish=st.none() | st.sampled_from(Finish),
)


def by_hand(node, record):
    """Return True, False or None: Kleene's logic over one record."""
    if isinstance(node, ast.BoolOp):
        parts, settles = [by_hand(value, record) for value in node.values], isinstance(node.op, ast.Or)
        return settles if settles in parts else None if None in parts else not settles
    if isinstance(node, ast.UnaryOp):
        inner = by_hand(node.operand, record)
        return None if inner is None else not inner
    if isinstance(node, ast.Name):
        return getattr(record, node.id)
    left, (op,), (right,) = getattr(record, node.left.id), node.ops, node.comparators
    if isinstance(op, ast.Is):
        return left is None
    other = getattr(record, right.id) if isinstance(right, ast.Name) else ast.literal_eval(right)
    if left is None or other is None:
        return None
    signs = {
        ast.In: lambda a, b: a in b,
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.GtE: operator.ge,
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
    }
    return signs[type(op)](left, other)


@given(conditions, st.lists(records, max_size=6))
@settings(max_examples=150, deadline=None)
def test_every_row_is_judged_as_by_hand(text, rows):
    tree = ast.parse(text, mode="eval").body
    assert judged(text, Frame.of("requests", rows)) == [by_hand(tree, record) for record in rows]


@pytest.mark.parametrize(
    ("text", "character", "cause"),
    [
        ("ttft_us <= 2 and tfft_us > 1", 18, "no column 'tfft_us'"),
        ("é == 1 or ttft_us > 1 and 'é' == foo", 1, "no column 'é'"),
        ("tenant == 'é' and foo > 1", 19, "no column 'foo'"),
        ("status == 'okay'", 11, "status is never 'okay'"),
        ("finish > 'stop'", 1, "texts have no order"),
        ("ttft_us == 'a'", 1, "a number and a text"),
        ("ttft_us == None", 1, "nothing is equal to None"),
        ("stream == True", 1, "a condition is compared"),
        ("tenant == model", 1, "two of a kind"),
        ("ttft_us", 1, "neither true nor false"),
        ("stream and ttft_us + 1", 12, "neither true nor false"),
        ("gap_buckets > 1", 1, "no column 'gap_buckets'"),
        ("ttft_us > 2 ** 3", 11, "not a number"),
        ("ttft_us > 99999999999999999999", 11, "beyond 2^53"),
        ("ttft_us > 1e999", 11, "beyond 2^53"),
        ("ttft_us > 1j", 11, "not read here"),
        ("tenant in 'acme'", 11, "not a list"),
        ("tenant in ()", 11, "not a list"),
        ("1 is None", 1, "only whether a column"),
        ("ttft_us <", 1, "not a condition"),
        ("", 1, "not a condition"),
        ("ttft_us\x00 > 1", 1, "not a condition"),
        ("(" * 400, 1, "not a condition"),
        (f"ttft_us > {'-' * 300}1", 1, "parts"),
        (" or ".join(["stream"] * MOST_PARTS), 1, "over"),
        ("stream or " * 100 + "stream", 1, "over 1000 characters"),
        ("__import__('os').system('true')", 1, "call is not read here"),
        ("(lambda: stream)()", 1, "call is not read here"),
        ("[x for x in (1, 2)] == 1", 1, "listcomp is not read here"),
        ("status.__class__ == 'str'", 1, "attribute is not read here"),
        ("f'{status}' == 'ok'", 1, "joinedstr is not read here"),
        ("(stream := True)", 1, "namedexpr is not read here"),
        ("model[0] == 'a'", 1, "subscript is not read here"),
        ("ttft_us if stream else 1", 1, "ifexp is not read here"),
    ],
)  # fmt: skip
def test_what_is_not_a_condition_is_refused_at_its_character(text, character, cause):
    with pytest.raises(ExpressionError, match=cause.replace("(", "\\(").replace("^", "\\^")) as refused:
        expression(text, "requests")
    if character > 1:
        assert refused.value.character == character


@given(st.text(max_size=60) | st.text(alphabet="ab_us'()[]<=>!+-*/. andortfi0123\n", max_size=80))
@settings(max_examples=300, deadline=None)
def test_no_text_escapes_as_another_error(text):
    with suppress(ExpressionError):
        expression(text, "requests")


def test_a_predicate_counts_only_those_among_and_never_a_probe(requests_frame):
    indicator = Predicate(holds="ttft_us <= 2_000_000", among="model == 'llama'")
    frame = requests_frame(
        {"ttft_us": 2_000_000},
        {"ttft_us": 2_000_001, "status": Status.ERROR},
        {"ttft_us": None},
        {"ttft_us": 1, "model": "qwen"},
        {"ttft_us": 1, "synthetic": True},
    )
    verdicts = indicator.judge(frame)
    assert (verdicts.good.tolist(), verdicts.total.tolist()) == ([1, 0, 0, 0, 0], [1, 1, 0, 0, 0])
    assert set(indicator.reads()) == {"synthetic", "ttft_us", "model"}


def test_a_predicate_names_the_parameter_that_is_wrong():
    with pytest.raises(ObjectiveError, match="character 1: requests have no column 'x'") as refused:
        Predicate(holds="stream", among="x > 1")
    assert refused.value.subject == "among"
