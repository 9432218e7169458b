from valor.video.formats.written import RECORD, is_as_written, keep_edited, write_text


def test_what_was_written_here_is_replaced_and_what_was_edited_is_kept(tmp_path, caplog):
    path = tmp_path / "a dog.srt"
    for text in ("one", "two", "two", "three"):
        write_text(path, text)
        assert is_as_written(path) and path.read_text() == text
    assert not caplog.text and sorted(tmp_path.iterdir()) == [tmp_path / RECORD, path]
    for edited, kept in (("mine", "a dog.srt.bak"), ("mine too", "a dog.srt.1.bak")):
        path.write_text(edited)
        assert not is_as_written(path)
        write_text(path, "three")
        assert path.read_text() == "three" and (tmp_path / kept).read_text() == edited
        assert f"kept as {kept}" in caplog.text


def test_an_older_state_that_was_written_here_is_no_work_of_anybody(tmp_path, caplog):
    path = tmp_path / "a.eaf"
    write_text(path, "one")
    write_text(path, "two")
    path.write_text("one")
    write_text(path, "three")
    assert not caplog.text and path.read_text() == "three"


def test_a_file_that_is_not_from_here_is_kept_and_one_with_the_same_text_is_not(tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text("shopping")
    write_text(path, "events")
    assert (tmp_path / "notes.csv.bak").read_text() == "shopping"
    (tmp_path / RECORD).unlink()
    write_text(path, "events")
    assert is_as_written(path) and not (tmp_path / "notes.csv.1.bak").exists()


def test_a_link_stays_and_what_it_leads_to_is_kept(tmp_path):
    real, link = tmp_path / "real.vtt", tmp_path / "link.vtt"
    real.write_text("mine")
    link.symlink_to(real)
    write_text(link, "ours")
    assert link.is_symlink() and real.read_text() == "ours" and (tmp_path / "real.vtt.bak").read_text() == "mine"


def test_the_standard_output_is_no_file_of_anybody(tmp_path):
    import os

    with (tmp_path / "out.txt").open("w+") as out:
        out.write("before\n")
        out.flush()
        path = tmp_path / "link"
        path.symlink_to(f"/proc/{os.getpid()}/fd/{out.fileno()}")
        keep_edited(path)
        write_text(path, "events\n")
    assert (tmp_path / "out.txt").read_text() == "before\nevents\n"
    assert not (tmp_path / RECORD).exists()


def test_names_with_line_breaks_are_told_apart(tmp_path):
    odd, plain = tmp_path / "a\nb.csv", tmp_path / "a"
    write_text(odd, "one")
    write_text(plain, "two")
    assert is_as_written(odd) and is_as_written(plain)
