"""Tab-separated rows, read as they stand and written whole."""

import pytest

from valor.tab_separated import check_header, read_rows, write_rows


def test_rows_read_as_they_stand_with_their_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfa\tb\r\n\r\n1\t"2\r\n3\r\n')
    assert list(read_rows(path)) == [(1, ["a", "b"]), (3, ["1", '"2']), (4, ["3"])]


def test_what_is_written_reads_back(tmp_path):
    write_rows(tmp_path / "t.csv", ("a", "b"), [("1", "2")], names=["1"])
    assert [cells for _, cells in read_rows(tmp_path / "t.csv")] == [["a", "b"], ["1", "2"]]
    assert len(list(tmp_path.iterdir())) == 1


def test_other_files_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match="t.csv: expected tab-separated UTF-8 text, .*binary file"):
        list(read_rows(tmp_path / "t.csv"))
    with pytest.raises(FileNotFoundError):
        list(read_rows(tmp_path / "none.csv"))


def test_another_header_is_refused(tmp_path):
    check_header(tmp_path, ["a", "b"], ("a", "b"))
    with pytest.raises(ValueError, match=r"with the columns a, b, got the header \['a'\]; is it another kind of file"):
        check_header(tmp_path, ["a"], ("a", "b"))


@pytest.mark.parametrize("name", ["", " x", "a\tb", "a,b", "a\nb"])
def test_names_that_would_tear_a_row_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="hold no tab, comma, line break or outer space"):
        write_rows(tmp_path / "t.csv", ("a",), [], names=[name])
    assert not list(tmp_path.iterdir())
