"""Lists of names, typed and in tables."""

import pandas as pd
import pytest

from valor.data.names import join_names, list_names, name_reader, name_splitter, split_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("Dog", ["Dog"]),
        (" Dog , Cat,,", ["Dog", "Cat"]),
        ('"Cry, baby"', ["Cry, baby"]),
        ('Dog,"Cry, baby" , Cat', ["Dog", "Cry, baby", "Cat"]),
        ('"Dog",Cat', ['"Dog"', "Cat"]),
        ('say "hi", twice', ['say "hi"', "twice"]),
        ('"say ""hi"", twice",Dog', ['say "hi", twice', "Dog"]),
        ('"Cry, baby', ['"Cry', "baby"]),
        ('"Cry, baby"s', ['"Cry', 'baby"s']),
    ],
)
def test_quotes_hold_a_name_together_and_are_letters_else(text, names):
    assert split_names(text) == names


@pytest.mark.parametrize("names", [["Dog"], ["Cry, baby", "Dog"], ['a "b"', "c"], ['"a, b"', "d"], [",", "a,,b"]])
def test_what_is_written_is_read(names):
    assert split_names(join_names(names)) == names == name_splitter(names)(join_names(names))


def test_known_names_need_no_quotes_and_the_longest_is_taken():
    names_in = name_splitter(["a", "a, b", "a, b, c", "d"])
    assert names_in("a, b, c,d, a, b") == ["a, b, c", "d", "a, b"]
    assert names_in("a, bc") == ["a", "bc"] and names_in("a,d,a") == ["a", "d", "a"]
    assert names_in('x,"a, b"') == ["x", "a, b"]
    assert name_splitter(["a", "b"])('"a, b"') == ['"a', 'b"']  # as ever, where no name holds a comma


@pytest.mark.parametrize("names", [["Dog"], ["Cry, baby", "Dog"], ['a "b"', "c, d"], ['"a, b"', "d"], ['5" pipe']])
def test_cells_are_read_as_csv_and_pandas_write_them(names):
    known = ["Dog", "Cry, baby", 'a "b"', "c, d", '"a, b"', "d", '5" pipe']
    frame = pd.DataFrame({"filename": ["x"], "event_labels": [join_names(names)]})
    cell = frame.to_csv(sep="\t", index=False).splitlines()[1].partition("\t")[2]
    assert name_splitter(known)(cell) == names
    for name in names:
        written = frame.assign(event_labels=name).to_csv(sep="\t", index=False).splitlines()[1].partition("\t")[2]
        assert name_reader(known)(written) == name
        assert name_reader(known)(join_names([name])) == name


def test_an_unknown_name_in_such_a_cell_is_given_alone():
    assert name_splitter(["Cry, baby", "Dog"])('"Dog,""Cri, baby"""') == ["Dog", "Cri, baby"]
    assert name_reader(["Cry, baby", "Dog"])("Dog,Cat") == "Dog,Cat"


def test_a_list_for_people_shows_where_names_end():
    assert list_names(["Dog", "Cry, baby", "Cat"]) == 'Dog, "Cry, baby", Cat'
    assert list_names(["Dog", "Cry, baby", "Cat"], 1) == "Dog and 2 more" and list_names([]) == ""
