"""`valor labels --margin`."""

import csv

from label_harvest.harvest import HarvestOptions, harvest
from label_harvest.manifest import HarvestManifest
from tests.toy import FakeTeacher, write_toy_world
from valor.__main__ import main


def test_labels_near_their_threshold_are_counted_and_listed(tmp_path, capsys):
    import json

    import numpy as np

    prompt = {"visual_prompt": "x", "audio_prompt": "x", "visual_threshold": 0, "audio_threshold": 0}
    (tmp_path / "classes.json").write_text(json.dumps([{"name": name, **prompt} for name in ("Dog", "Cat")]))
    (tmp_path / "thresholds.json").write_text('{"audio": [1.0, 0.0], "visual": [0.5, 0.0]}')
    videos = write_toy_world(tmp_path / "videos", ("a", "b"))
    manifest = HarvestManifest(("a", "b"), ("Dog", "Cat"), np.array([[True, False], [True, True]]))
    teachers = [FakeTeacher(role=role) for role in ("audio", "visual")]
    harvest(manifest, videos, tmp_path / "s", teachers, options=HarvestOptions(decode_workers=0), progress=False)
    typed = ["labels", tmp_path / "s", "--out", tmp_path / "out", "--thresholds", tmp_path / "thresholds.json"]
    assert main([*map(str, typed), "--classes", str(tmp_path / "classes.json"), "--margin", "0.2"]) == 0
    said = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "near_thresholds.csv").open(encoding="utf-8")))
    assert f"{len(rows)} of 60 decisions within 0.2 of the threshold" in said
    assert rows and all(abs(float(row["logit"]) - float(row["threshold"])) <= 0.2 + 1e-4 for row in rows)
    assert main([*map(str, typed), "--classes", str(tmp_path / "classes.json"), "--margin", "0"]) == 2
