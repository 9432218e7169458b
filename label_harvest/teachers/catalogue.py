"""Teachers of today by short names: what each stands for, takes in and reads, its licence, and where its weights lie.

A short name is another word for an open one, `open_clip:MODEL/TAG`, `laion:CHECKPOINT` or `hf:ORG/NAME`; a store calls
the teacher by that, so that both names share their stores. Nothing here computes: how pictures, sound and captions are
brought to a network is read from the network's own configuration, and said here for people.

Parameters are counted on the networks themselves, PE's are those of their model cards. Licences are those of the model
cards; read the licence itself before you publish or sell what a teacher made.
"""

from dataclasses import dataclass

OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What open_clip calls the weights in a repository of the hub, the first there is."""
FRAME_SECONDS = 0.125
"""From one of the frames that are decoded to the next (`Grid.frame_rate`): those who look see no more."""
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""What transformers calls them."""
APACHE, MIT, APPLE = "Apache-2.0", "MIT", "Apple ML Research (no commercial use)"
_FRAME = "a frame a segment"
"""How often a teacher that looks speaks."""
_SEGMENT = "a segment"


@dataclass(frozen=True, kw_only=True)
class NamedTeacher:
    """What a short name stands for."""

    builds: str
    """The open name."""
    role: str
    takes: str
    """What the network takes in, in words."""
    reads: str
    """What becomes of a caption before the text tower reads it, in words."""
    every: str
    """How often it speaks, in words."""
    licence: str
    parameters: int | None
    """In millions; None where nobody says it."""
    repository: str
    """On the hub."""
    files: tuple[str, ...]
    """The weights there, the first there is."""
    finest: float = 1.0
    """Shortest segment that it can tell from its neighbours, in seconds."""
    caption: str = ""
    """How its publisher writes captions, `NAME` standing for the class; empty for the vocabulary's own."""
    remark: str = ""

    @property
    def size(self) -> tuple[str, str]:
        """Its parameters, and what is to be downloaded of them at 4 bytes each, in words."""
        if self.parameters is None:
            return "size not stated", "weights"
        return f"{self.parameters:,} M parameters", f"about {4 * self.parameters / 1000:.1f} GB"


def _open_clip(
    model: str,
    tag: str,
    licence: str,
    parameters: int,
    *,
    takes: str,
    reads: str,
    repository: str = "",
    remark: str = "",
) -> NamedTeacher:
    """A model of open_clip."""
    return NamedTeacher(
        builds=f"open_clip:{model}/{tag}",
        role="visual",
        takes=takes,
        reads=reads,
        every=_FRAME,
        finest=FRAME_SECONDS,
        licence=licence,
        parameters=parameters,
        repository=repository or f"timm/{model}",
        files=OPEN_CLIP_FILES,
        remark=remark,
    )


def _siglip2(model: str, size: int, parameters: int) -> NamedTeacher:
    """SigLIP 2: a scale and a bias of its own, so that each class has a probability without the others."""
    return _open_clip(
        model,
        "webli",
        APACHE,
        parameters,
        takes=f"{size} px, squashed, bicubic",
        reads="lower case, no punctuation, padded to 64 tokens; sigmoid with scale and bias",
    )


def _pe_core(model: str, size: int, parameters: int, tokens: int = 32) -> NamedTeacher:
    """Perception Encoder, core."""
    takes, reads = f"{size} px, squashed, bilinear", f"lower case, at most {tokens} tokens"
    return _open_clip(model, "meta", APACHE, parameters, takes=takes, reads=reads)


def _mobileclip2(model: str, size: int, parameters: int, levels: str = "levels 0 to 1") -> NamedTeacher:
    """MobileCLIP 2, made for telephones and good for CPUs."""
    way = "bicubic" if model.endswith("L-14") else "bilinear"
    return _open_clip(
        model,
        "dfndr2b",
        APPLE,
        parameters,
        takes=f"{size} px, shortest side and centre, {way}, {levels}",
        reads="lower case, at most 77 tokens",
        repository=f"timm/{model}-OpenCLIP",
    )


def _clap(
    builds: str, repository: str, files: tuple[str, ...], parameters: int, *, licence: str = APACHE, remark: str = ""
) -> NamedTeacher:
    """A CLAP of LAION's, in its own files or in transformers' layout."""
    return NamedTeacher(
        builds=builds,
        role="audio",
        takes="48 kHz, a segment repeated to 10 s",
        reads="as typed, at most 77 tokens",
        every=_SEGMENT,
        licence=licence,
        parameters=parameters,
        repository=repository,
        files=files,
        remark=remark,
    )


def _laion(checkpoint: str, file: str, parameters: int = 154) -> NamedTeacher:
    """One of LAION's own files."""
    return _clap(f"laion:{checkpoint}", "lukewys/laion_clap", (file,), parameters, licence="CC0-1.0")


def _hub_clap(name: str, parameters: int, remark: str = "") -> NamedTeacher:
    """One of LAION's in transformers' layout."""
    return _clap(f"hf:laion/{name}", f"laion/{name}", HUB_FILES, parameters, remark=remark)


def _pe_audio(name: str, parameters: int | None, *, frames: bool = False) -> NamedTeacher:
    """Perception Encoder's ears."""
    return NamedTeacher(
        builds=f"hf:facebook/{name}",
        role="audio",
        takes="48 kHz, a clip as long as it is" if frames else "48 kHz, a segment as long as it is",
        reads="as typed; sigmoid with scale and bias",
        every="every 40 ms, of which a segment gets the mean" if frames else _SEGMENT,
        licence=APACHE,
        parameters=parameters,
        repository=f"facebook/{name}",
        files=HUB_FILES,
        finest=0.04 if frames else 1.0,
        caption="NAME",
        remark="" if frames else "its audio half, both are downloaded",
    )


_CLIP_LEVELS = "CLIP's levels"
CATALOGUE: dict[str, NamedTeacher] = {
    "clip-vit-l14": _open_clip(
        "ViT-L-14-quickgelu",
        "openai@squash",
        MIT,
        428,
        takes="224 px, squashed, bilinear, not antialiased",
        reads="lower case, at most 77 tokens",
        repository="timm/vit_large_patch14_clip_224.openai",
        remark="the published label generator's",
    ),
    "siglip2-b32-256": _siglip2("ViT-B-32-SigLIP2-256", 256, 377),
    "siglip2-b16-224": _siglip2("ViT-B-16-SigLIP2", 224, 375),
    "siglip2-b16-256": _siglip2("ViT-B-16-SigLIP2-256", 256, 375),
    "siglip2-b16-384": _siglip2("ViT-B-16-SigLIP2-384", 384, 375),
    "siglip2-b16-512": _siglip2("ViT-B-16-SigLIP2-512", 512, 376),
    "siglip2-l16-256": _siglip2("ViT-L-16-SigLIP2-256", 256, 882),
    "siglip2-l16-384": _siglip2("ViT-L-16-SigLIP2-384", 384, 882),
    "siglip2-l16-512": _siglip2("ViT-L-16-SigLIP2-512", 512, 882),
    "siglip2-so400m14-224": _siglip2("ViT-SO400M-14-SigLIP2", 224, 1135),
    "siglip2-so400m14-378": _siglip2("ViT-SO400M-14-SigLIP2-378", 378, 1136),
    "siglip2-so400m16-256": _siglip2("ViT-SO400M-16-SigLIP2-256", 256, 1136),
    "siglip2-so400m16-384": _siglip2("ViT-SO400M-16-SigLIP2-384", 384, 1136),
    "siglip2-so400m16-512": _siglip2("ViT-SO400M-16-SigLIP2-512", 512, 1137),
    "siglip2-gopt16-256": _siglip2("ViT-gopt-16-SigLIP2-256", 256, 1871),
    "siglip2-gopt16-384": _siglip2("ViT-gopt-16-SigLIP2-384", 384, 1872),
    "pe-core-t16-384": _pe_core("PE-Core-T-16-384", 384, 70),
    "pe-core-s16-384": _pe_core("PE-Core-S-16-384", 384, 87),
    "pe-core-b16-224": _pe_core("PE-Core-B-16", 224, 448),
    "pe-core-l14-336": _pe_core("PE-Core-L-14-336", 336, 671),
    "pe-core-g14-448": _pe_core("PE-Core-bigG-14-448", 448, 2419, 72),
    "mobileclip2-s0": _mobileclip2("MobileCLIP2-S0", 256, 75),
    "mobileclip2-s2": _mobileclip2("MobileCLIP2-S2", 256, 99),
    "mobileclip2-b": _mobileclip2("MobileCLIP2-B", 224, 150),
    "mobileclip2-s3": _mobileclip2("MobileCLIP2-S3", 256, 249, _CLIP_LEVELS),
    "mobileclip2-s4": _mobileclip2("MobileCLIP2-S4", 256, 445, _CLIP_LEVELS),
    "mobileclip2-l14": _mobileclip2("MobileCLIP2-L-14", 224, 428, _CLIP_LEVELS),
    "clap-630k-fusion": _clap(
        "laion:630k-fusion",
        "lukewys/laion_clap",
        ("630k-fusion-best.pt",),
        154,
        licence="CC0-1.0",
        remark="the published label generator's",
    ),
    "clap-630k-audioset-fusion": _laion("630k-audioset-fusion", "630k-audioset-fusion-best.pt"),
    "clap-630k": _laion("630k", "630k-best.pt"),
    "clap-630k-audioset": _laion("630k-audioset", "630k-audioset-best.pt"),
    "clap-music-audioset": _laion("music-audioset", "music_audioset_epoch_15_esc_90.14.pt", 194),
    "clap-music-speech": _laion("music-speech", "music_speech_epoch_15_esc_89.25.pt", 194),
    "clap-music-speech-audioset": _laion("music-speech-audioset", "music_speech_audioset_epoch_15_esc_89.98.pt", 194),
    "clap-htsat-fused": _hub_clap("clap-htsat-fused", 154),
    "clap-htsat-unfused": _hub_clap("clap-htsat-unfused", 153),
    "clap-larger-general": _hub_clap("larger_clap_general", 194),
    "clap-larger-music-speech": _hub_clap("larger_clap_music_and_speech", 194),
    "clap-larger-music": _hub_clap(
        "larger_clap_music", 194, "its text vectors are reported to be nearly the same (mteb issue 5069)"
    ),
    "pe-a-frame-small": _pe_audio("pe-a-frame-small", 450, frames=True),
    "pe-a-frame-base": _pe_audio("pe-a-frame-base", 560, frames=True),
    "pe-a-frame-large": _pe_audio("pe-a-frame-large", 1400, frames=True),
    "pe-av-small": _pe_audio("pe-av-small", None),
    "pe-av-base": _pe_audio("pe-av-base", None),
    "pe-av-large": _pe_audio("pe-av-large", 1462),
}
"""By short name."""


def opened(name: str) -> str:
    """The open name of a short one; any other name as it is.

    >>> opened("siglip2-b16-256"), opened("demo-visual")
    ('open_clip:ViT-B-16-SigLIP2-256/webli', 'demo-visual')
    """
    return CATALOGUE[name].builds if name in CATALOGUE else name
