"""Which features a parser is given, as a value: nothing here waits for torch."""

from dataclasses import dataclass
from pathlib import Path

from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.places.place import Place

STREAMS = ("audio", "visual", "motion")
"""The inputs of a parser."""
FEATURE_KINDS = ("vggish", "res152", "r2plus1d", "clap", "clip")
"""The published kinds; `valor.data.features.feature_files` has a reader for each."""
AVE_KINDS = ("ave-vggish", "ave-vgg19")
"""The kinds published with AVE, one file of all clips each; `valor.data.datasets.ave_features` reads them."""
UNAV_KINDS = ("unav-vggish", "unav-i3d")
"""The kinds published with UnAV-100; `valor.data.datasets.unav_features` reads them."""
_KINDS = (*FEATURE_KINDS, *AVE_KINDS, *UNAV_KINDS)
PRECISIONS = ("float32", "float16")
"""How features can be kept in memory."""
PACKED = "float16"
"""How published features are packed unless the other is asked for."""
MISSING = ("refuse", "drop")
"""What can be done about clips without features or pseudo labels."""


def evidence_in(data: Path, store: Place | None) -> Place:
    """Where evidence of a harvest is read from: the store that is given, else `store/` in the data folder, or that."""
    return store or (data / "store" if (data / "store").is_dir() else data)


@dataclass(frozen=True, kw_only=True)
class FeatureOptions:
    """Which features each stream of the parser gets.

    A kind is the name of a published one (vggish, res152, r2plus1d, clap, clip; of AVE ave-vggish, ave-vgg19; of
    UnAV-100 unav-vggish, unav-i3d) or of an
    array of the evidence store, `<role>.<feature>`, such as `visual.embedding`.
    """

    audio: str = "vggish"
    """Kind of the audio stream."""
    visual: str = "res152"
    """Kind of the visual stream."""
    motion: str | None = "r2plus1d"
    """Kind fused into the visual stream; None for a parser with motion_width 0."""
    precision: str = "float32"
    """How features are kept in memory: `float32` as they are read, which is half for a store that was packed in half,
    `float16` rounded to half. A batch is float32 either way."""
    unfolded: bool = False
    """Keep HTSAT maps and ResNet-152 frames as they are, for networks that bend them before they average: rows of a map
    are then 5376 numbers, of frames 16384, 7 and 8 times the memory. Of published files, not of packed ones."""
    background_clips: bool = False
    """Whether the clips of no event that were published with AVE's features are trained on as well."""
    missing: str = "refuse"
    """What to do about clips without features or pseudo labels: `refuse`, or `drop` them with a warning."""

    def __post_init__(self) -> None:
        """Refuse names nothing can be read for."""
        for stream in STREAMS:
            kind = getattr(self, stream)
            if kind is not None and "." not in kind and kind not in _KINDS:
                raise ValueError(
                    f"{stream} must be one of {', '.join(_KINDS)} or a store array such as "
                    f"'visual.embedding', got {kind!r}{did_you_mean(kind, _KINDS)}"
                )
        if self.background_clips and not {self.audio, self.visual} <= set(AVE_KINDS):
            raise ValueError(
                f"background_clips are of the features {' and '.join(AVE_KINDS)} alone, "
                f"got {self.audio} and {self.visual}"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}"
                f"{did_you_mean(self.precision, PRECISIONS)}"
            )
        if self.missing not in MISSING:
            raise ValueError(f"missing must be {' or '.join(map(repr, MISSING))}, got {self.missing!r}")
