"""Options of a parser and the published configurations by name, as values: nothing here waits for torch."""

from dataclasses import dataclass, fields

NORM_ORDERS = ("post", "pre")
"""Where a layer normalises: after each residual sum, or the query before it."""

UPDATE_ORDERS = ("audio-first", "together")
"""Which audio the visual stream attends to: the updated one, or that before the layer."""

POOLINGS = ("attentive", "linear-softmax", "max")
"""Names `ParserOptions.pooling` understands."""


@dataclass(frozen=True, kw_only=True)
class ParserOptions:
    """Everything that decides the shape of a parser's weights and what it computes with them."""

    audio_width: int = 128
    """Features per segment of the audio input: 128 VGGish, 768 CLAP map."""
    visual_width: int = 2048
    """Features per segment of the visual input: 2048 ResNet-152, 768 CLIP ViT-L/14."""
    motion_width: int = 512
    """Features per segment of the motion input: 512 R(2+1)D; 0 for a parser without a motion stream."""
    hidden_width: int = 512
    """Width of the encoder."""
    num_layers: int = 1
    """Hybrid attention layers."""
    num_heads: int = 8
    """Attention heads; divides hidden_width."""
    feedforward_width: int = 1024
    """Inner width of the feed-forward blocks."""
    num_classes: int = 25
    """Event classes."""
    dropout: float = 0.1
    """Probability in [0, 1), on attention weights, attention outputs, and inside and after the feed-forward blocks."""
    norm_order: str = "post"
    """`post` or `pre`, see HybridLayer."""
    update_order: str = "audio-first"
    """`audio-first`, or `together` as in the parser of 2020, see HybridLayer."""
    pooling: str = "attentive"
    """`attentive`, `linear-softmax` or `max`, see valor.parsers.pooling."""

    def __post_init__(self) -> None:
        """Refuse options no parser can be built from."""
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "motion_width" else 1
            if field.type is int and (not isinstance(value, int) or value < least):
                raise ValueError(f"{field.name} must be a whole number of at least {least}, got {value!r}")
        if self.hidden_width % self.num_heads:
            raise ValueError(f"num_heads must divide hidden_width {self.hidden_width}, got {self.num_heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        choices = {"norm_order": NORM_ORDERS, "update_order": UPDATE_ORDERS, "pooling": POOLINGS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")


_VALOR_PP = ParserOptions(audio_width=768, visual_width=768, hidden_width=256, num_layers=4)

PARSERS: dict[str, ParserOptions] = {
    "valor": ParserOptions(),
    "valor+": ParserOptions(hidden_width=256, num_layers=4),
    "valor++": _VALOR_PP,
    "valor++ pre-norm": ParserOptions(
        audio_width=768, visual_width=768, hidden_width=256, num_layers=4, norm_order="pre"
    ),
}
"""The published configurations (VALOR code, NeurIPS 2023)."""
