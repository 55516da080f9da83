import pytest

from rawproto.cli.units import parse_duration, parse_probability, parse_rate, parse_seed, parse_size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1MiB", 1 << 20),
        ("64k", 64_000),
        ("64Ki", 65_536),
        ("10MB", 10**7),
        ("1", 1),
        ("1.5kB", 1500),
        ("1GiB", 1 << 30),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("0.05", 0.05), ("0", 0.0), ("100%", 1.0), ("1", 1.0)])
def test_probabilities(text: str, value: float) -> None:
    assert parse_probability(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("20ms", 20_000_000), ("1.5s", 1_500_000_000), ("0", 0), ("500us", 500_000)]
)
def test_durations(text: str, value: int) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize(("text", "value"), [("100mbit", 10**8), ("1Gbit", 10**9), ("64kbit", 64_000), ("none", None)])
def test_rates(text: str, value: int | None) -> None:
    assert parse_rate(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1", "1x", "5%", "0", "2GiB", "1e3", "nan", "1 2"])
def test_bad_sizes_are_quoted_and_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"size, such as|from 1 byte"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "x", "-5%", "5", "101%", "nan", "inf", "5%%"])
def test_bad_probabilities(text: str) -> None:
    with pytest.raises(ValueError, match="%"):
        parse_probability(text)


@pytest.mark.parametrize("text", ["", "20", "-1ms", "11s", "5%", "ms"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"20ms|10s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "5", "0bit", "100mb", "1tbit", "-1mbit"])
def test_bad_rates(text: str) -> None:
    with pytest.raises(ValueError, match="none"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1e3", "٣"])
def test_bad_seeds(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        parse_seed(text)
