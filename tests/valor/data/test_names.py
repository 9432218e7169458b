"""Lists of names, typed and in tables."""

import pytest

from valor.data.names import join_names, name_splitter, split_names


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
