"""The order training clips are taken in, drawn as the published scripts draw it."""

import torch
from torch import Tensor

from parsers.build import ParserOptions, build_parser


def batch_order_generator(parser: ParserOptions, seed: int) -> torch.Generator:
    """Return the generator the batch order is drawn from, in the state the published scripts leave theirs in.

    They seed torch, build the network, then shuffle: the order depends on how many numbers the initial weights took.
    It is a generator of its own here, so dropout does not disturb the order on any device.
    """
    order = torch.Generator()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        build_parser(parser)
        order.set_state(torch.get_rng_state())
    return order


def epoch_order(num_clips: int, generator: torch.Generator) -> Tensor:
    """Draw the order of the clips in the next epoch, int64 [N].

    Three numbers are taken off the generator: torch's loader draws one it has no use for here, the seed of the shuffle,
    and another for the validation pass. With them the order is the published one (golden batch order).
    """
    seed = torch.empty(3, dtype=torch.int64).random_(generator=generator)[1]
    return torch.randperm(num_clips, generator=torch.Generator().manual_seed(int(seed)))
