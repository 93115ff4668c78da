"""Charts of text."""

from telex.cli import charts


def test_a_column_is_the_mean_of_its_time() -> None:
    points = [(0.0, 10.0, 1.0), (10.0, 15.0, 3.0), (15.0, 30.0, 5.0)]
    assert charts.columns(points, 3, 0.0, 30.0) == [1.0, 4.0, 5.0]
    assert charts.columns(points, 6, 0.0, 30.0) == [1.0, 1.0, 3.0, 5.0, 5.0, 5.0]


def test_where_nothing_is_known_there_is_no_value() -> None:
    points = [(-10.0, 2.0, 7.0), (20.0, 25.0, 0.0), (38.0, 60.0, 9.0)]
    assert charts.columns(points, 4, 0.0, 40.0) == [7.0, None, 0.0, 9.0]
    assert charts.columns([], 2, 0.0, 1.0) == [None, None]


def test_columns_are_filled_from_below() -> None:
    assert charts.drawn([0.0, 1.0, 4.0, 8.0, None]) == ["▁▁▄█ "]
    assert charts.drawn([0.0, 4.0, 8.0, None], 2) == ["  █ ", "▁██ "]
    assert charts.drawn([1.0, 8.0, 6.0], 3) == [" █▂", " ██", "▃██"]


def test_next_to_nothing_is_not_nothing() -> None:
    assert charts.drawn([0.0, None, 0.0]) == ["▁ ▁"]
    assert charts.drawn([0.001, 1_000_000.0]) == ["▁█"]
    assert charts.drawn([]) == [""]
    assert charts.drawn([None], 2) == [" ", " "]


def test_other_characters_do_where_there_are_no_blocks() -> None:
    [line] = charts.drawn([0.0, 4.0, 8.0, None], blocks=charts.ASCII)
    assert line == ".=@ "
    assert line.isascii()
    assert len(charts.ASCII) == len(charts.BLOCKS)
