"""One of several runs that divide a manifest among them, as the tasks of a cluster job do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Run `index` of `count`, counted from 1; it makes every count-th shard."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse shares that do not exist."""
        if not 1 <= self.index <= self.count:
            raise ValueError(
                f"a share must be i/n with i from 1 to n, got {self}; a job array from 1 to n gives such numbers"
            )

    def __str__(self) -> str:
        """As it is typed."""
        return f"{self.index}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether there are no other runs."""
        return self.count == 1

    def holds(self, shard: int) -> bool:
        """Whether a shard, by its number, is made by this run."""
        return shard % self.count == self.index - 1


WHOLE = Share()
"""A run on its own."""


def read_share(text: str) -> Share:
    """Read `i/n`.

    Raises:
        ValueError: The text is not two such numbers.

    >>> read_share("2/40")
    Share(index=2, count=40)
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ValueError(f"a share must be i/n, such as 1/4, got {text!r}")
    return Share(int(index), int(count))
