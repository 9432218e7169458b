"""Cells of CSV that a spreadsheet opens: text stays text."""


def unformula(cell: object) -> object:
    """A cell with an apostrophe before it where a spreadsheet would take its text for a formula.

    Example:
        >>> unformula("=1+1"), unformula("-5"), unformula("Dog")
        ("'=1+1", '-5', 'Dog')
    """
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
