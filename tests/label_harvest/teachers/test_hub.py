"""Weights that would have to be fetched: which they are, what fetches them, and what is said where nothing can."""

import logging
import socket

import pytest

from valor.label_harvest.teachers.hub import absent_weights, hub_trouble, prepare_to_fetch, weights_here
from valor.label_harvest.teachers.teacher import TeacherUnavailableError

CLIP, CLAP = "clip-vit-l14", "clap-630k-fusion"
PAIR = {"audio": CLAP, "visual": CLIP}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache, empty, and a hub that may be asked."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "hub"


def keep(cache, repository, file):
    """Put a file where the hub's client keeps it."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "snapshots/abc").mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs/main").write_text("abc")
    (folder / "snapshots/abc" / file).write_bytes(b"weights")
    return folder / "snapshots/abc" / file


def test_what_is_absent_is_named_with_its_size_and_what_fetches_it(cache):
    clap, clip = absent_weights(PAIR)
    assert clap.said == "clap-630k-fusion (about 0.6 GB from huggingface.co/lukewys/laion_clap and roberta-base)"
    assert clap.commands == (
        "hf download lukewys/laion_clap 630k-fusion-best.pt",
        "hf download roberta-base tokenizer.json",
    )
    assert clip.commands == ("hf download timm/vit_large_patch14_clip_224.openai open_clip_model.safetensors",)
    siglip, frame = absent_weights({"visual": "siglip2-b16-256", "audio": "pe-a-frame-base"})
    assert siglip.commands == ("hf download timm/ViT-B-16-SigLIP2-256",)
    assert frame.commands == ("hf download facebook/pe-a-frame-base",)
    assert absent_weights({"audio": "laion:630k-fusion"})[0].files == clap.files


def test_weights_that_are_here_shipped_given_or_of_a_folder_are_not_absent(cache, tmp_path):
    place = keep(cache, "timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors")
    assert weights_here(CLIP) == weights_here("open_clip:ViT-L-14-quickgelu/openai@squash") == place
    keep(cache, "lukewys/laion_clap", "630k-fusion-best.pt")
    (alone,) = absent_weights(PAIR)
    assert (alone.size, list(alone.files)) == ("its tokenizer", ["roberta-base"])
    keep(cache, "roberta-base", "tokenizer.json")
    assert absent_weights(PAIR) == ()
    others = {"visual": "demo-visual", "audio": f"hf:{tmp_path}"}
    assert absent_weights(others) == absent_weights({"audio": "clap-630k"}, {"audio": "random"}) == ()


def test_a_file_of_clap_without_a_tokenizer_beside_it_lacks_that_alone(cache, tmp_path):
    given = {"audio": str(tmp_path / "630k-fusion-best.pt")}
    (tmp_path / "630k-fusion-best.pt").touch()
    assert [one.size for one in absent_weights({"audio": CLAP}, given)] == ["its tokenizer"]
    (tmp_path / "tokenizer.json").touch()
    assert absent_weights({"audio": CLAP}, given) == ()
    assert absent_weights({"visual": CLIP}, {"visual": str(tmp_path / "w.safetensors")}) == ()


def test_without_a_network_all_is_said_at_once_and_nothing_is_tried_again(cache, monkeypatch):
    asked = []

    def unresolved(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    with pytest.raises(TeacherUnavailableError) as refused:
        prepare_to_fetch(absent_weights(PAIR))
    said = str(refused.value)
    assert asked == ["huggingface.co"]
    assert "(the name huggingface.co is not resolved): clap-630k-fusion (about 0.6 GB" in said
    assert "and clip-vit-l14 (about 1.7 GB" in said and f"fetches them into {cache}" in said
    commands = [line.strip() for line in said.splitlines() if line.startswith("    ")]  # each on a line, to be copied
    assert commands[:2] == [
        "hf download lukewys/laion_clap 630k-fusion-best.pt",
        "hf download roberta-base tokenizer.json",
    ]
    assert "HF_HUB_OFFLINE=1" in said and "with `checkpoints` audio=FILE and `checkpoints` visual=FILE" in said


def test_a_hub_that_refuses_one_that_may_not_be_asked_and_a_proxy(cache, monkeypatch):
    from huggingface_hub import constants

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert hub_trouble() == "127.0.0.1: Connection refused"
        monkeypatch.setenv("http_proxy", "http://proxy:3128")
        assert hub_trouble() is None
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub_trouble() == "HF_HUB_OFFLINE is set"


def test_before_the_first_file_is_fetched_it_is_said_what_and_where_to(cache, monkeypatch, caplog):
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as server, caplog.at_level(logging.INFO):
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        prepare_to_fetch(absent_weights(PAIR))
        prepare_to_fetch(())
    (said,) = caplog.messages
    assert said.startswith(f"to be fetched first, and kept in {cache}: clap-630k-fusion (about 0.6 GB")
