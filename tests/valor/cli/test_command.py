"""What the commands share, and the options by which they say what is scored."""

import argparse
from pathlib import Path

import pytest

from valor.cli.command import FORMATS, SUFFIXES, print_note, write_or_print
from valor.cli.scored import named_path
from valor.data.segment_grid import ROUNDINGS

LAYOUTS = {name: lambda name=name: f"as {name}" for name in FORMATS}


def asked(**options):
    return argparse.Namespace(**{"format": None, "out": None} | options)


def test_every_format_has_an_ending():
    assert set(SUFFIXES.values()) == set(FORMATS)


def test_the_roundings_are_those_of_the_reader():
    from valor.cli.arguments import build_argument_parser

    for rounding in ROUNDINGS:
        line = f"evaluate p --annotations a --split test --rounding {rounding}"
        assert build_argument_parser().parse_args(line.split()).rounding == rounding


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_printed_or_written_by_name_or_by_file_name(tmp_path, capsys, name):
    write_or_print(LAYOUTS, asked(format=name))
    assert capsys.readouterr().out == f"as {name}\n"
    (suffix,) = [suffix for suffix, of in SUFFIXES.items() if of == name]
    out = tmp_path / "deep" / f"t{suffix}"
    write_or_print(LAYOUTS, asked(out=out))
    assert out.read_text() == f"as {name}\n" and capsys.readouterr().out == f"wrote {out}\n"


def test_a_format_that_contradicts_the_file_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--format csv and --out .*t.md contradict each other; leave one out"):
        write_or_print(LAYOUTS, asked(format="csv", out=tmp_path / "t.md"))
    write_or_print(LAYOUTS, asked(format="csv", out=tmp_path / "t.dat"))
    with pytest.raises(ValueError, match=r"t.png: a table is written as \*\.txt, .*; `valor plot` draws pictures"):
        write_or_print(LAYOUTS, asked(out=tmp_path / "t.png"))
    assert not (tmp_path / "t.png").exists()
    assert (tmp_path / "t.dat").read_text() == "as csv\n"


@pytest.mark.parametrize(("options", "stream"), [
    ({}, "out"), ({"format": "text"}, "out"), ({"format": "csv"}, "err"), ({"format": "csv", "out": Path("t")}, "out"),
])  # fmt: skip
def test_a_note_never_spoils_a_printed_file(capsys, options, stream):
    print_note("wrote s.json", asked(**options))
    assert getattr(capsys.readouterr(), stream) == "wrote s.json\n"


def test_paths_are_called_by_what_they_hold(tmp_path):
    for name in ("runs/valor/seed-0/predictions.npz", "runs/han/predictions.npz", "mine.npz", "m.audio.tsv", "a=b.npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def called(typed):
        name, path = named_path(typed)
        assert path.exists()
        return name

    assert called(f"{tmp_path}/runs/valor/seed-0/predictions.npz") == "valor/seed-0"
    assert called(f"{tmp_path}/runs/han/predictions.npz") == "han"
    assert called(f"{tmp_path}/mine.npz") == "mine"
    assert called(f"{tmp_path}/m.audio.tsv") == "m"
    assert called(f"VALOR={tmp_path}/mine.npz") == "VALOR"
    assert called(f"{tmp_path}/a=b.npz") == "a=b"
    assert called(f"{tmp_path}/runs") == "runs"
    assert named_path("nowhere.npz") == ("nowhere", Path("nowhere.npz"))
