"""Whatever a cell holds, the table stays one."""

from dermssl.tables import markdown_table


def test_a_table_reads_as_one_in_a_terminal():
    assert markdown_table(["%", "recall", "n"], [["row", "1.00", "1"], ["longer row", "2.00", "2"]]).splitlines() == [
        "| %          | recall |  n |",
        "| ---------- | -----: | -: |",
        "| row        |   1.00 |  1 |",
        "| longer row |   2.00 |  2 |",
    ]


def test_bars_and_line_ends_inside_a_cell_do_not_break_it():
    table = markdown_table(["class|name", "images"], [["a|b", "1"], ["first\nsecond\r\nthird", "2"], ["", "3"]])
    assert table.splitlines() == [
        r"| class\|name        | images |",
        "| ------------------ | -----: |",
        r"| a\|b               |      1 |",
        "| first second third |      2 |",
        "|                    |      3 |",
    ]
