"""`valor probe`: a pre-training beside what knows nothing, on the same clips."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.toy_pretraining import CODED, clips, views_of
from tests.helpers.toy_run import FROM_STORE, write_tables, write_toy_store
from valor.__main__ import main
from valor.pretraining.measure import in_step
from valor.pretraining.options import PretrainOptions, ProbeOptions
from valor.pretraining.probe import _in_order, _reordered, probe_run
from valor.pretraining.run import pretrain_run
from valor.training.encoder_file import read_encoder

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """A pre-training of a toy store, and the data folder that holds it."""
    data = write_tables(tmp_path_factory.mktemp("probed"))
    write_toy_store(data / "store")
    options = PretrainOptions(epochs=1, batch_size=4, warmup_epochs=0, held_out=0.0, progress=False)
    pretrain_run("avc", [data / "store"], FROM_STORE, data / "pre", options)
    return data / "pre", data


def test_no_figure_stands_without_its_controls(probed, capsys):
    run, data = probed
    assert main(["probe", str(run), "--data", str(data), "--resamples", "3", "--format", "json", "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["clips"], report["learned"], report["objective"]) == (2, 3, "correspondence")
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == ["features as they are", "random encoder", "correspondence", "chance"]
    for name in list(rows)[:3]:
        for modality in ("audio", "visual"):
            for kind in ("alone", "together", "missing"):
                held = rows[name][kind][modality]
                assert 0 <= held["low"] <= held["high"] <= 100
    gained = report["over_random"]  # paired over clips, of every figure
    for key in ("missing.audio", "together.visual"):
        kind, modality = key.split(".")
        one, other = (rows[name][kind][modality]["mAP"] for name in ("correspondence", "random encoder"))
        assert gained[key]["low"] <= gained[key]["value"] <= gained[key]["high"]
        assert gained[key]["value"] == pytest.approx(one - other)
    first = [rows[name]["retrieval"]["R@1"] for name in ("correspondence", "random encoder")]
    assert gained["R@1"]["value"] == first[0] - first[1]
    assert rows["features as they are"]["retrieval"] is None  # this store's teachers say nothing of classes
    assert rows["chance"]["retrieval"] == {"R@1": 50.0, "R@5": 100.0, "R@10": 100.0}
    assert rows["chance"]["in_step"] == pytest.approx(10)
    assert rows["correspondence"] != rows["random encoder"]
    assert "no data folder said which are annotated" in report["notes"][0]  # it learned from all of the store
    assert read_encoder(run).in_words() == "correspondence on 12 clips, perhaps annotated ones among them"


def test_features_it_did_not_learn_from_are_refused(probed, tmp_path):
    run, _ = probed
    other = write_tables(tmp_path)
    write_toy_store(other / "store", weights="cd" * 32)
    with pytest.raises(ValueError, match="audio features made by .* abababababab, these were made by .* cdcdcdcdcdcd"):
        probe_run(run, other, ProbeOptions(resamples=1))


def test_time_codes_do_not_put_seconds_in_step():
    views, batch = views_of(replace(CODED, time_codes=2.0)), clips(count=40, segments=6)
    exists = np.ones((40, 6), bool)
    order = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(n)) for n in range(40)])
    with torch.no_grad():
        sound, picture = (views.alone(batch, m).numpy() for m in range(2))
        shuffled = _in_order(views.alone(_reordered(batch, order), 1), order.argsort(dim=1)).numpy()
    assert in_step(sound, picture, exists).mean() > 2 / 6
    assert in_step(sound, shuffled, exists).mean() < 1.4 / 6
