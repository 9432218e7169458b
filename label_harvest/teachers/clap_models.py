"""The networks CLAP comes as: their names, their weights and tokenizer, and whether one hears as it is heard here.

The network is the one in transformers, the same function as LAION's own package; LAION's files are loaded into it by
renaming, models in the hub's layout as they are. Checkpoints with fusion hear through the HTK mel bank, those without
through Slaney's, as they were trained; a folder that says of its network that it hears otherwise is refused.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..strict_json import as_object, loads
from .hub import HUB_TOKENIZER
from .mel import HIGHEST_HZ, HOP_SAMPLES, LOWEST_HZ, NUM_BANDS, WINDOW_SAMPLES
from .published_weights import WeightsOrigin, check_weights
from .teacher import LongCaptionError
from .weights import RANDOM, build_random, load_exactly, read_state, state_digest, unreachable

LAION_REPOSITORY = "lukewys/laion_clap"
"""Where LAION's checkpoints lie on the hub."""
LAION_PREFIX, HUB_PREFIX = "laion:", "hf:"
"""What a teacher's name begins with: a checkpoint of `LAION_CHECKPOINTS`, or a model or folder in the hub's layout."""
FRONT_END_FILES = ("preprocessor_config.json", "processor_config.json")
"""Where a folder in the hub's layout says how its network hears; in the second under `feature_extractor`."""
_MAX_TOKENS = 77
Tokenize = Callable[[Sequence[str]], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class LaionCheckpoint:
    """One of LAION's files and the network it is of."""

    file: str
    fusion: bool
    base: bool = False
    """Whether the audio tower is HTSAT-base rather than HTSAT-tiny."""

    @property
    def config(self) -> dict[str, dict[str, Any]]:
        """Fields of the network that differ from transformers' defaults."""
        audio: dict[str, object] = {"enable_fusion": self.fusion}
        if self.base:
            audio |= {"patch_embeds_hidden_size": 128, "hidden_size": 1024, "depths": [2, 2, 12, 2]}
        return {"audio_config": audio, "text_config": {"layer_norm_eps": 1e-5}}  # LAION's RoBERTa


LAION_CHECKPOINTS: dict[str, LaionCheckpoint] = {
    "630k-fusion": LaionCheckpoint("630k-fusion-best.pt", fusion=True),
    "630k-audioset-fusion": LaionCheckpoint("630k-audioset-fusion-best.pt", fusion=True),
    "630k": LaionCheckpoint("630k-best.pt", fusion=False),
    "630k-audioset": LaionCheckpoint("630k-audioset-best.pt", fusion=False),
    "music-audioset": LaionCheckpoint("music_audioset_epoch_15_esc_90.14.pt", fusion=False, base=True),
    "music-speech": LaionCheckpoint("music_speech_epoch_15_esc_89.25.pt", fusion=False, base=True),
    "music-speech-audioset": LaionCheckpoint("music_speech_audioset_epoch_15_esc_89.98.pt", fusion=False, base=True),
}
"""LAION's published checkpoints; 630k-fusion is that of the published label generator."""
PRESET = "laion:630k-fusion"
"""The published audio teacher, the one whose thresholds the vocabulary holds."""


def check_name(name: str) -> str:
    """Refuse names that are neither `laion:CHECKPOINT` nor `hf:ORG/NAME` nor `hf:FOLDER`.

    Raises:
        ValueError: There is no such checkpoint.
    """
    kind, _, rest = name.partition(":")
    if f"{kind}:" == LAION_PREFIX and rest not in LAION_CHECKPOINTS:
        raise ValueError(f"{name}: LAION's checkpoints are {', '.join(LAION_CHECKPOINTS)}, got {rest!r}")
    if f"{kind}:" not in (LAION_PREFIX, HUB_PREFIX) or not rest:
        raise ValueError(f"{name}: expected laion:CHECKPOINT, hf:ORG/NAME or hf:FOLDER")
    return name


def store_name(name: str) -> str:
    """What a store calls a teacher: the published one `clap`, a folder by its own name, wherever it lies."""
    folder = Path(name.removeprefix(HUB_PREFIX))
    if name == PRESET:
        return "clap"
    return f"{HUB_PREFIX}{folder.absolute().name}" if name.startswith(HUB_PREFIX) and folder.is_dir() else name


@dataclass(frozen=True)
class ClapModel:
    """A network with all that belongs to it."""

    network: Any
    """transformers' ClapModel, whose parts are known by their names alone."""
    tokenize: Tokenize
    """Captions to token ids and mask, int64 [P, L] each."""
    weights: str
    """sha256 of the weights, or `random`."""
    tokenizer: str
    """Name of the tokenizer, as it goes into the identity."""
    origin: WeightsOrigin | None = None
    """Where the weights came from; None of random ones."""

    @property
    def fusion(self) -> bool:
        """Whether it has the fusion branch, and with it the HTK mel bank."""
        return bool(self.network.config.audio_config.enable_fusion)


def load_clap(name: str, *, checkpoint: str | Path | None = None, pin: str | None = None) -> ClapModel:
    """Load a model.

    Args:
        name: `laion:CHECKPOINT` or `hf:ORG/NAME|FOLDER`.
        checkpoint: None fetches the weights from the hub (or finds them in its cache); a file is a LAION checkpoint
            (or a ClapModel state dict) of that name, a folder is a model in the hub's layout; `random` builds seeded
            random weights and a stand-in tokenizer that spells bytes.
        pin: See `check_weights`.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The checkpoint is of another network, not the pinned one, visibly not the published one, or cannot
            be loaded without executing code in it; or a folder says that its network hears otherwise than ours.
        RuntimeError: The weights or the tokenizer are neither local nor to be fetched.
    """
    config = LAION_CHECKPOINTS[name.removeprefix(LAION_PREFIX)].config if name.startswith(LAION_PREFIX) else None
    if checkpoint == RANDOM:
        network = build_random(lambda: build_network(config or _random_config(name)), name)
        return ClapModel(network, spell_bytes, RANDOM, "bytes")
    path = Path(checkpoint) if checkpoint is not None else place_of_model(name)
    _check_file_name(name, path)
    if path.is_dir():
        folder, path = path, weights_in(path)
        config = _config_of_folder(name, folder)
    else:
        folder = path.parent
    state = clap_state(read_state(path))
    network = build_network(config or _read_config(folder))
    load_exactly(network, state, f"{name}: {path}")
    weights, fetched = state_digest(state), checkpoint is None and not Path(name.removeprefix(HUB_PREFIX)).is_dir()
    origin = check_weights(path, weights, teacher=name, role="audio", pin=pin, fetched=fetched, state=state)
    tokenize = _tokenizer(name, folder, network.config.text_config.vocab_size)
    return ClapModel(network, tokenize, weights, HUB_TOKENIZER, origin)


def place_of_model(name: str) -> Path:
    """The folder or the file a name stands for, fetched from the hub or found in its cache."""
    from huggingface_hub import hf_hub_download, snapshot_download

    kind, _, rest = name.partition(":")
    if f"{kind}:" == HUB_PREFIX and Path(rest).is_dir():
        return Path(rest)
    file = LAION_CHECKPOINTS[rest].file if f"{kind}:" == LAION_PREFIX else ""
    try:
        if file:
            return Path(hf_hub_download(LAION_REPOSITORY, file))
        return Path(snapshot_download(rest, allow_patterns=["*.json", "*.txt", "model.safetensors", "*.bin"]))
    except Exception as error:  # hub, network and cache errors share no base class
        raise unreachable(name, f"{LAION_REPOSITORY}/{file}" if file else rest, error) from error


def _check_file_name(name: str, path: Path) -> None:
    """Refuse the file of another of LAION's checkpoints: several have the same tensors."""
    owner = next((other for other, entry in LAION_CHECKPOINTS.items() if entry.file == path.name), None)
    if owner and name.startswith(LAION_PREFIX) and name != LAION_PREFIX + owner:
        file = LAION_CHECKPOINTS[name.removeprefix(LAION_PREFIX)].file
        raise ValueError(
            f"{path}: this is the file of {LAION_PREFIX}{owner}, that of {name} is {file}; ask for the other teacher, "
            "or give its own file"
        )


def _config_of_folder(name: str, folder: Path) -> dict[str, Any]:
    """The configuration of a folder in the hub's layout, whose network must hear as its name and this project do."""
    config = _read_config(folder)
    fusion = bool(config["audio_config"].get("enable_fusion", False))
    if name.startswith(LAION_PREFIX) and fusion != LAION_CHECKPOINTS[name.removeprefix(LAION_PREFIX)].fusion:
        raise ValueError(
            f"{folder}: not the network of {name}: config.json says enable_fusion {fusion}; give its own checkpoint, "
            f"or name the folder, {HUB_PREFIX}{folder}"
        )
    check_front_end(folder, fusion=fusion)
    return config


def _random_config(name: str) -> dict[str, Any]:
    """The configuration of a model in the hub's layout whose weights are not wanted."""
    place = Path(name.removeprefix(HUB_PREFIX))
    if not place.is_dir():
        raise ValueError(f"{name}: random weights need the folder of the model, whose config.json says what to build")
    return _read_config(place)


def _read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a folder in the hub's layout."""
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; copy the config.json of the model beside its weights")
    try:
        config = as_object(loads(path.read_text(encoding="utf-8")), "the file")
    except ValueError as error:
        raise ValueError(f"{path}: expected the configuration of a model, got {error}; fetch the file again") from error
    if not isinstance(config.get("audio_config"), dict):
        raise ValueError(f"{path}: expected the configuration of a CLAP model, with audio_config; give another folder")
    return config


def weights_in(folder: Path) -> Path:
    """The weight file of a folder in the hub's layout."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder}: expected model.safetensors or pytorch_model.bin, got neither; copy one there")


def build_network(config: Mapping[str, Any]) -> Any:
    """An unfilled ClapModel.

    Args:
        config: `audio_config` and `text_config` fields that differ from transformers' defaults.
    """
    from transformers import ClapConfig
    from transformers import ClapModel as Network

    audio, text = config.get("audio_config", {}), config.get("text_config", {})
    rest = {name: config[name] for name in ("projection_dim",) if name in config}
    return Network(ClapConfig(audio_config=dict(audio), text_config=dict(text), **rest))


_RENAMES = (
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"^text_branch\.", "text_model."),
    (r"^(audio|text)_projection\.0\.", r"\1_projection.linear1."),
    (r"^(audio|text)_projection\.2\.", r"\1_projection.linear2."),
    (r"^(audio_model\.audio_encoder)\.bn0\.", r"\1.batch_norm."),
    (r"(\.blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(\.blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"(\.blocks\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"(\.blocks\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
    (r"(\.blocks\.\d+)\.attn\.proj\.", r"\1.attention.output.dense."),
    (r"(\.blocks\.\d+)\.attn\.", r"\1.attention.self."),
)
"""LAION's names to transformers' names, applied in order."""
_UNUSED = re.compile(
    r"^audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\.|\.attn_mask$|_transform\."
)
"""Tensors of a LAION checkpoint that do not reach the embedding: front end, classifiers, derived masks."""
_POSITIONS = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")
"""Counters some versions store and others do not."""


def clap_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring a CLAP state dict, LAION's or transformers', to transformers' names; query, key and value are split."""
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if _UNUSED.search(name):
            continue
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        if ".attention.self.qkv." in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[name.replace(".qkv.", f".{part}.")] = piece.contiguous()
        else:
            renamed[name] = tensor
    length = renamed.get("text_model.embeddings.position_embeddings.weight", torch.zeros(0)).shape[0]
    for name, value in zip(_POSITIONS, (torch.arange(length), torch.zeros(length, dtype=torch.long)), strict=True):
        renamed[name] = value[None]
    return renamed


def _tokenizer(name: str, folder: Path, vocabulary_size: int) -> Tokenize:
    """RoBERTa's tokenizer: beside the checkpoint, or from the hub and its cache."""
    from transformers import RobertaTokenizerFast

    beside = any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json"))
    source = str(folder) if beside else HUB_TOKENIZER
    try:
        tokenizer = RobertaTokenizerFast.from_pretrained(source, local_files_only=beside)
    except Exception as error:  # hub, network and file errors share no base class
        raise unreachable(name, f"the tokenizer {source}", error) from error
    if len(tokenizer) != vocabulary_size:
        raise ValueError(
            f"{source}: the tokenizer must have {vocabulary_size} tokens, got {len(tokenizer)}; "
            "put RoBERTa's tokenizer.json beside the checkpoint"
        )

    def tokenize(captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        _refuse_long(tokenizer, captions)
        batch = tokenizer(list(captions), padding=True, return_tensors="pt")
        return batch["input_ids"], batch["attention_mask"]

    return tokenize


def _refuse_long(tokenizer: Any, captions: Sequence[str]) -> None:  # noqa: ANN401
    for caption in captions:
        if len(tokenizer(caption, truncation=True, max_length=_MAX_TOKENS + 1)["input_ids"]) > _MAX_TOKENS:
            raise LongCaptionError(caption, _MAX_TOKENS)


def check_captions(captions: Sequence[str], place: Path | None) -> None:
    """Refuse captions that would be cut off, where the tokenizer is on this machine.

    Args:
        captions: As typed.
        place: The weights, a file or a folder; None where they are not here.

    Raises:
        LongCaptionError: A caption takes more tokens than are read.
    """
    from transformers import RobertaTokenizerFast

    folder = place.parent if place is not None and place.is_file() else place
    beside = folder is not None and any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json"))
    try:
        tokenizer = RobertaTokenizerFast.from_pretrained(
            str(folder) if beside else HUB_TOKENIZER, local_files_only=True
        )
    except Exception:  # noqa: BLE001, it is not here, or damaged, which loading says
        return
    _refuse_long(tokenizer, captions)


def spell_bytes(captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, int64 [P, L], of a stand-in tokenizer whose tokens are bytes (random weights only)."""
    rows = [[0, *(byte + 4 for byte in caption.encode("utf-8")[:500]), 2] for caption in captions]
    width = max(len(row) for row in rows)
    tokens = torch.tensor([row + [1] * (width - len(row)) for row in rows])
    return tokens, (tokens != 1).long()


def check_front_end(folder: Path, *, fusion: bool) -> None:
    """Refuse a model that was trained to hear otherwise than it would here; nothing is said where it says nothing.

    Args:
        folder: A model in the hub's layout.
        fusion: Whether its network has the fusion branch, which decides the mel bank.

    Raises:
        ValueError: The file is damaged, or a value differs from what is computed here.

    Source:
        transformers' `ClapFeatureExtractor`, whose defaults fill in what the file leaves out.
    """
    found = _read(folder)
    if found is None:
        return
    path, said = found
    from transformers import ClapFeatureExtractor

    defaults = inspect.signature(ClapFeatureExtractor.__init__).parameters
    for name, wanted in _front_end(fusion=fusion).items():
        got = said.get(name, defaults[name].default if name in defaults else wanted)
        if got != wanted:
            left_out = "" if name in said else ", transformers' value where it is left out"
            raise ValueError(
                f"{path}: {name} must be {wanted!r}, got {got!r}{left_out}; the network was trained on other "
                "spectrograms than are computed here, give a CLAP model that hears as LAION's do"
            )


def _front_end(*, fusion: bool) -> dict[str, object]:
    """What is computed here, under transformers' names; `truncation` is what it takes the mel bank from."""
    return {
        "feature_extractor_type": "ClapFeatureExtractor",
        "sampling_rate": 48000,
        "hop_length": HOP_SAMPLES,
        "fft_window_size": WINDOW_SAMPLES,
        "frequency_min": LOWEST_HZ,
        "frequency_max": HIGHEST_HZ,
        "feature_size": NUM_BANDS,
        "max_length_s": 10,
        "padding": "repeatpad",
        "truncation": "fusion" if fusion else "rand_trunc",
    }


def _read(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The file of a folder that speaks of the front end, and what it says."""
    for name in FRONT_END_FILES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            said = loads(path.read_text(encoding="utf-8"))
            said = said if name == FRONT_END_FILES[0] else said.get("feature_extractor")
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{path}: expected a JSON object, got {error}; fetch the file again") from error
        if isinstance(said, dict):
            return path, said
        if name == FRONT_END_FILES[0]:
            raise ValueError(f"{path}: expected a JSON object, got {type(said).__name__}; fetch the file again")
    return None
