"""Solid letters that grow with the room there is: read across a room."""

from __future__ import annotations

# The 5 x 7 dots of matrix displays: a byte a column, the lowest bit on top.
_COLUMNS = {
    "0": "3e5149453e", "1": "00427f4000", "2": "4261514946", "3": "2141454b31", "4": "1814127f10",
    "5": "2745454539", "6": "3c4a494930", "7": "0171090503", "8": "3649494936", "9": "064949291e",
    "%": "2313086462", "-": "0808080808", " ": "0000000000", "A": "7e1111117e", "B": "7f49494936",
    "C": "3e41414122", "D": "7f4141221c", "E": "7f49494941", "F": "7f09090901", "G": "3e4149497a",
    "H": "7f0808087f", "I": "00417f4100", "J": "2040413f01", "K": "7f08142241", "L": "7f40404040",
    "M": "7f020c027f", "N": "7f0408107f", "O": "3e4141413e", "P": "7f09090906", "Q": "3e4151215e",
    "R": "7f09192946", "S": "4649494931", "T": "01017f0101", "U": "3f4040403f", "V": "1f2040201f",
    "W": "3f4038403f", "X": "6314081463", "Y": "0708700807", "Z": "6151494543",
}  # fmt: skip
_DOTS = 7  # high
# Columns and half rows of a terminal that one dot takes. A cell is about twice as high as wide.
_SIZES = ((4, 4), (2, 2), (1, 1))


def solid(word: str, columns: int, rows: int) -> list[str] | None:
    """A word in the largest solid letters that fit, a line of text a row.

    Args:
        word: of letters A to Z, digits, "%", "-" and spaces.
        columns: of text that there are.
        rows: of text that there are.

    Returns:
        the rows; None if the word has other characters or not even the smallest letters fit.
    """
    dots = _dots(word.upper())
    if not dots:
        return None
    for across, half_rows in _SIZES:
        lines = (_DOTS * half_rows + 1) // 2
        if lines <= rows and len(dots) * across <= columns:
            return [_row(dots, row, across, half_rows) for row in range(lines)]
    return None


def _dots(word: str) -> list[int]:
    """A byte a column, with an empty one between letters."""
    if any(letter not in _COLUMNS for letter in word):
        return []
    columns: list[int] = []
    for letter in word:
        columns += [*bytes.fromhex(_COLUMNS[letter]), 0]
    return columns[:-1]


def _row(dots: list[int], row: int, across: int, half_rows: int) -> str:
    """One line of text: each cell shows two half rows."""
    upper, lower = (2 * row) // half_rows, (2 * row + 1) // half_rows
    cells = []
    for column in dots:
        over, under = column >> upper & 1, column >> lower & 1
        cells.append(("█" if under else "▀") if over else "▄" if under else " ")
    return "".join(cell * across for cell in cells).rstrip()
