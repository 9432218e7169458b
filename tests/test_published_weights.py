"""Which weights are known, which are refused for what they show, and which are only warned of."""

import math
import re

import pytest
import torch
from safetensors.torch import save_file

from label_harvest import published_weights
from label_harvest.checkpoints import check_weights, file_digest
from label_harvest.clap_weights import LAION_CHECKPOINTS, LAION_PREFIX, load_clap
from label_harvest.open_clip_models import load_open_clip, parse_name
from label_harvest.published_weights import PUBLISHED_FILES, PublishedFile, check_trained, published_file
from tests.test_clap_teacher import tiny_network as tiny_clap
from tests.test_clap_weights import laion_names, small
from tests.test_clip_teacher import tiny_network as tiny_clip

OPENAI = "open_clip:RN50-quickgelu/openai"


def test_openais_digests_are_those_of_the_addresses_open_clip_fetches_from():
    import open_clip

    told = set()
    for model, tag in open_clip.list_pretrained():
        address = open_clip.get_pretrained_cfg(model, tag).get("url", "")
        found = re.search(r"openaipublic.*/([0-9a-f]{64})/(.*)$", address)
        if found and model.endswith("-quickgelu"):
            told.add((f"open_clip:{model}/{tag}", *found.groups()))
    ours = {(entry.teacher, sha, entry.file) for sha, entry in PUBLISHED_FILES.items() if "azure" in entry.where}
    assert ours == told and len(ours) == 9


def test_every_known_file_has_a_name_that_can_be_asked_for():
    for sha256, entry in PUBLISHED_FILES.items():
        assert re.fullmatch(r"[0-9a-f]{64}", sha256)
        if entry.teacher.startswith("open_clip:"):
            parse_name(entry.teacher)
        elif entry.teacher.startswith(LAION_PREFIX):
            assert LAION_CHECKPOINTS[entry.teacher.removeprefix(LAION_PREFIX)].file == entry.file


@pytest.fixture
def known(tmp_path, monkeypatch):
    """A file that is on record as that of laion:630k-audioset."""
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    entry = PublishedFile("laion:630k-audioset", "630k-audioset-best.pt", "somewhere")
    monkeypatch.setitem(PUBLISHED_FILES, file_digest(path), entry)
    return path


def test_a_known_file_is_taken_without_a_word(known, caplog):
    for teacher in ("laion:630k-audioset", "hf:mine", "open_clip:local-dir:mine"):  # a folder promises nothing
        assert check_weights(known, "w", teacher=teacher).checked == "known"
    assert not caplog.text


def test_a_known_file_under_another_name_is_refused(known):
    message = "laion:630k: the file is 630k-audioset-best.pt of somewhere, .* ask for that teacher"
    with pytest.raises(ValueError, match=message):
        check_weights(known, "w", teacher="laion:630k", pin=file_digest(known))
    assert published_file("laion:630k", "0" * 64) is None


def save_clip(path, network):
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    return path


@pytest.fixture
def as_tiny(monkeypatch):
    import open_clip

    monkeypatch.setattr(open_clip, "create_model", lambda name, **_: tiny_clip())


def test_an_untrained_network_is_not_openais(tmp_path, as_tiny, caplog):
    network = tiny_clip()
    network.logit_scale.data.fill_(math.log(1 / 0.07))  # as open_clip.create_model(..., pretrained=None) builds it
    path = save_clip(tmp_path / "gelu.safetensors", network)
    message = (
        f"{OPENAI}: these are not the published weights: their logit scale is 14.29, OpenAI's is 100.00; .*local-dir"
    )
    with pytest.raises(ValueError, match=message):
        load_open_clip(parse_name(OPENAI), checkpoint=path)
    assert not caplog.text  # the refusal says it all


def test_weights_finer_than_half_precision_are_not_openais(tmp_path, as_tiny):
    network = tiny_clip()
    network.transformer.resblocks[0].mlp.c_fc.weight.data *= 1.0001  # as after a step of somebody's own
    path = save_clip(tmp_path / "tuned.safetensors", network)
    with pytest.raises(ValueError, match=r"transformer.resblocks.0.mlp.c_fc.weight holds values finer than the half"):
        load_open_clip(parse_name(OPENAI), checkpoint=path)


@pytest.mark.parametrize("half", [False, True])
def test_a_copy_that_could_be_openais_is_loaded_with_a_warning(tmp_path, as_tiny, caplog, half):
    network = tiny_clip().half() if half else tiny_clip()
    model = load_open_clip(parse_name(OPENAI), checkpoint=save_clip(tmp_path / "copy.safetensors", network))
    assert model.origin.checked == "unverified" and model.origin.weights == model.weights
    assert f"copy.safetensors: UNVERIFIED weights for {OPENAI}" in caplog.text
    assert f"--sha256 visual={model.weights}" in caplog.text


def test_other_tags_and_folders_promise_nothing_of_openais():
    state = {"logit_scale": torch.tensor(2.0), "visual.conv1.weight": torch.full((2, 2), 1 / 3)}
    for teacher in ("open_clip:ViT-L-14/laion2b_s32b_b82k", "open_clip:local-dir:/a/openai", "hf:mine"):
        check_trained(teacher, state)
    with pytest.raises(ValueError, match="not the published weights"):
        check_trained("open_clip:ViT-L-14-quickgelu/openai@squash", state)


def trained(*, scale=2.9, statistics=True):
    network = tiny_clap(fusion=False)
    network.logit_scale_a.data.fill_(scale)
    if not statistics:
        network.audio_model.audio_encoder.batch_norm.reset_running_stats()
    return network.state_dict()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"scale": math.log(1 / 0.07)}, "their logit scale is 14.2857; after training it is from 1 to 100"),
        ({"scale": math.log(120)}, "their logit scale is 120.0000"),
        ({"statistics": False}, "the statistics of their spectrograms were never updated"),
    ],
)
def test_untrained_networks_are_not_laions(tmp_path, monkeypatch, changes, told):
    monkeypatch.setattr(type(LAION_CHECKPOINTS["630k"]), "config", property(lambda entry: small(fusion=entry.fusion)))
    monkeypatch.setattr("label_harvest.clap_weights._tokenizer", lambda *_: pytest.fail("it was taken"))
    torch.save(laion_names(trained(**changes)), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=f"laion:630k: these are not the published weights: {told}.*hf:FOLDER"):
        load_clap("laion:630k", checkpoint=tmp_path / "w.pt")


def test_a_trained_copy_of_a_laion_checkpoint_is_loaded_with_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(type(LAION_CHECKPOINTS["630k"]), "config", property(lambda entry: small(fusion=entry.fusion)))
    monkeypatch.setattr("label_harvest.clap_weights._tokenizer", lambda *_: None)
    torch.save(laion_names(trained()), tmp_path / "w.pt")
    model = load_clap("laion:630k", checkpoint=tmp_path / "w.pt")
    assert model.origin.checked == "unverified" and f"--sha256 audio={model.weights}" in caplog.text


def test_a_known_file_is_not_asked_what_it_shows(tmp_path, monkeypatch, as_tiny):
    """Were a fact above wrong, the published file itself must still be taken."""
    network = tiny_clip()
    network.logit_scale.data.fill_(3.0)
    path = save_clip(tmp_path / "w.safetensors", network)
    monkeypatch.setitem(published_weights.PUBLISHED_FILES, file_digest(path), PublishedFile(OPENAI, "RN50.pt", "here"))
    assert load_open_clip(parse_name(OPENAI), checkpoint=path).origin.checked == "known"
