"""How SigLIP's text towers were trained to be read to, held against what a tokenizer does.

SigLIP and SigLIP 2 saw captions in lower case without punctuation, always padded to 64 tokens, and their embedding is
that of the last place: a caption that keeps its capitals, or is padded to fewer places or with another token, is
another caption, and nothing else shows it. Their networks have a scale and a bias; without the bias a cosine says
nothing about how likely a class is.
"""

from collections.abc import Callable
from typing import Any

import torch

from .teacher import LongCaptionError

SIGLIP_LENGTH = 64
"""Tokens of a caption."""
SIGLIP_PADS = {32_000: 1, 250_000: 1, 256_000: 0}
"""Token a caption is padded with, by the size of the vocabulary: SigLIP's, its many-language one, and SigLIP 2's. The
size tells these networks apart from others."""
_TYPED, _PLAIN = "A Photo of a DOG!", "a photo of a dog"
"""One caption to SigLIP, two to a tokenizer that keeps what was typed."""


def check_text(name: str, tokenize: Callable[[list[str]], torch.Tensor], network: Any) -> None:  # noqa: ANN401
    """Refuse a SigLIP whose captions would reach it otherwise than it was trained; nothing is asked of other networks.

    Args:
        name: The teacher, for messages.
        tokenize: Captions to token ids, int64 [P, L].
        network: One of open_clip's.

    Raises:
        ValueError: It has no bias, or captions keep their capitals or punctuation, are of another length, or are padded
            with another token.
    """
    bias, pad = getattr(network, "logit_bias", None), SIGLIP_PADS.get(_vocabulary_size(network))
    if pad is None:
        return
    where = "take the open_clip_config.json and the tokenizer of the model as they are published"
    if bias is None:
        raise ValueError(
            f"{name}: its text tower is SigLIP's and its network has no bias (logit_bias), without which a cosine says "
            f"nothing about how likely a class is; {where}"
        )
    tokens = tokenize([_TYPED, _PLAIN])
    if tokens.shape[1] != SIGLIP_LENGTH or int(tokens[1, -1]) != pad:
        raise ValueError(
            f"{name}: SigLIP reads captions padded to {SIGLIP_LENGTH} tokens with token {pad}, got {tokens.shape[1]} "
            f"that end with token {int(tokens[1, -1])}; {where}"
        )
    if not torch.equal(tokens[0], tokens[1]):
        raise ValueError(
            f"{name}: SigLIP reads captions in lower case without punctuation, and its tokenizer tells {_TYPED!r} from "
            f"{_PLAIN!r}; {where} (tokenizer_kwargs: clean=canonicalize)"
        )


def _vocabulary_size(network: Any) -> int:  # noqa: ANN401
    """Rows of the token embedding, 0 where there is none of that name."""
    embedding = getattr(getattr(network, "text", network), "token_embedding", None)
    return 0 if embedding is None else int(embedding.weight.shape[0])


def whole_tokens(tokenizer: Any, captions: list[str]) -> torch.Tensor:
    """Tokens of captions, none of which may be cut off: open_clip cuts without a word.

    Args:
        tokenizer: One of open_clip's, with its `context_length`.
        captions: As typed.

    Raises:
        LongCaptionError: A caption takes more tokens than the text tower reads.
    """
    length = tokenizer.context_length
    tokens, wide = tokenizer(captions), tokenizer(captions, context_length=4 * length)
    fits = _is_padded(wide[:, :length], wide[:, length:], wide[:, -1:], tokens)
    fits |= _is_padded(wide[:, -length:], wide[:, :-length], wide[:, :1], tokens)
    for caption, whole in zip(captions, fits.tolist(), strict=True):
        if not whole:
            raise LongCaptionError(caption, length)
    return tokens


def _is_padded(kept: torch.Tensor, rest: torch.Tensor, pad: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Whether more room adds nothing to a caption but padding on one side, bool [P]."""
    return (kept == tokens).all(1) & (rest == pad).all(1)
