from __future__ import annotations

import pytest

from cost.prices import Price, PriceBook, PriceError, Segment, parse


def test_text_becomes_integer_nano_per_hour():
    assert parse("A10=1.10") == Price(selector="A10", nano_per_hour=1_100_000_000)


@pytest.mark.parametrize("text", ["A10", "=1", "A10=", "A10=cheap", "A10=-1", "A10=NaN", "A10=1e9"])
def test_text_that_is_no_price_is_refused_with_a_hint(text):
    with pytest.raises(PriceError, match=r"read price .*; (write|check)"):
        parse(text)


def test_model_is_named_by_whole_words():
    book = PriceBook((parse("A10=1"), parse("A10G=2"), parse("A100=3")))
    assert book.quote("GPU-x", "NVIDIA A10").segments == (Segment(0, 10**9),)
    assert book.quote("GPU-x", "NVIDIA A10G").segments == (Segment(0, 2 * 10**9),)


def test_most_specific_name_wins():
    book = PriceBook((parse("H100=3"), parse("H100 PCIe=2")))
    assert book.quote("GPU-x", "NVIDIA H100 PCIe").segments == (Segment(0, 2 * 10**9),)


def test_equally_specific_names_are_refused():
    book = PriceBook((parse("H100=3"), parse("PCIe=2")))
    with pytest.raises(PriceError, match="equally well"):
        book.quote("GPU-x", "NVIDIA H100 PCIe")


def test_uuid_outranks_the_model():
    book = PriceBook((parse("A10=1"), parse("GPU-x=7")))
    assert book.quote("GPU-x", "NVIDIA A10").segments == (Segment(0, 7 * 10**9),)


def test_unknown_model_takes_the_only_price_and_says_so():
    quote = PriceBook((parse("A10=1"),)).quote("host/gpu-0", None)
    assert quote.segments == (Segment(0, 10**9),)
    assert quote.assumption == "the model of host/gpu-0 is not known; priced as A10, the only price given"


def test_unknown_model_among_several_prices_is_unpriced():
    quote = PriceBook((parse("A10=1"), parse("L4=1"))).quote("host/gpu-0", None)
    assert quote.segments == () and quote.assumption is None


def test_known_model_without_a_price_is_unpriced():
    assert PriceBook((parse("A10=1"),)).quote("GPU-x", "NVIDIA L4").segments == ()


def test_two_prices_from_one_instant_are_refused():
    with pytest.raises(PriceError, match="same instant"):
        PriceBook((parse("A10=1"), parse("A10=2"))).quote("GPU-x", "A10")
