import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_zero_shot import NAMES, toy_footage, toy_system
from valor.__main__ import main
from valor.data.parse_file import read_parse
from valor.data.parse_folder import read_parse_predictions
from valor.data.tables import Split
from valor.data.zero_shot_file import Curve, read_zero_shot
from valor.eval.decide import PostProcessing
from valor.label_harvest.decoys import MIDDLE, SLOPE
from valor.scoring.zero_shot import FootageOptions, _evidence, calibrate_zero_shot, fitted, read_footage


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zero") / "parses"
    return folder, toy_footage(folder, toy_system(), clips=12)


@pytest.fixture(scope="module")
def footage(written):
    return read_footage(sorted(written[0].glob("*.json")))


def _split(footage, truth, rows) -> Split:
    names = [parse.media.name.removesuffix(".mp4") for parse in footage.parses]
    ids = tuple(names[row] for row in rows)
    order = [int(name.removeprefix("clip")) for name in ids]
    return Split("val", ids, NAMES, truth[order].any(axis=(1, 2)), truth=truth[order])


def test_all_footage_says_where_decoys_stand(footage):
    found = calibrate_zero_shot(footage)
    assert found.standing["audio"].level == pytest.approx(-0.2, abs=0.02)
    assert found.standing["visual"].spread == pytest.approx(0.2, abs=0.02)
    assert found.standing["audio"].seconds == 120
    assert found.curves["audio"] == Curve(slope=SLOPE, middle=(MIDDLE,) * 3)
    assert found.provenance["criterion"] == "footage" and found.provenance["media"] == 12


def test_a_stated_prior_is_what_probabilities_come_to(footage):
    found = calibrate_zero_shot(footage, FootageOptions(prior=(0.1, 0.3)))
    for role, share in (("audio", 0.1), ("visual", 0.3)):
        of = [_evidence(parse, role, found.standing[role]) for parse in footage.parses]
        probs = np.concatenate([found.curves[role].probabilities(one)[0] for one in of])
        assert probs.mean() == pytest.approx(share, abs=1e-3)
    for wrong in ((0.0, 0.5), (0.1,), (0.1, 1.0)):
        with pytest.raises(ValueError, match="prior must be two shares above 0 and below 1"):
            FootageOptions(prior=wrong)


def test_corrected_clips_refine_it(footage, written):
    known = read_parse_predictions(footage.files)
    split = _split(footage, written[1], range(10))
    found = calibrate_zero_shot(footage, split=split, known=known)
    assert found.provenance["criterion"] == "corrected" and found.provenance["corrected"] == 10
    assert len(found.curves["audio"].middle) == 3


def _clips(count: int, middle: np.ndarray, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    clips = []
    for _ in range(count):
        found = rng.normal(1.0, 1.2, (10, len(middle)))
        clips.append((found, rng.uniform(size=found.shape) < 1 / (1 + np.exp(-SLOPE * (found - middle)))))
    return clips


def test_what_clips_bear_out_is_believed_and_no_more():
    before = Curve(middle=(MIDDLE,) * 4)
    true = np.array([1.4, 1.4, 1.4, 2.6])
    few, many = (fitted(_clips(count, true), before) for count in (5, 80))
    assert np.abs(np.array(many.middle) - true).max() < 0.35 < np.abs(true - MIDDLE).min()
    assert np.abs(np.array(few.middle) - true).mean() <= np.abs(MIDDLE - true).mean()
    assert np.abs(np.array(few.middle) - MIDDLE).max() <= np.abs(np.array(many.middle) - MIDDLE).max()
    assert fitted(_clips(1, true), before) == before  # nothing to hold out
    moved = [fitted(_clips(5, np.full(4, MIDDLE), seed), before) for seed in range(6)]
    assert np.mean([curve == before for curve in moved]) >= 0.5  # chance is not believed
    assert max(np.abs(np.array(curve.middle) - MIDDLE).max() for curve in moved) < 0.3


def test_what_cannot_be_calibrated_is_refused(footage, written, tmp_path):
    folder, truth = written
    files = sorted(folder.glob("*.json"))
    with pytest.raises(ValueError, match=r"holds 20 s of audio footage, of which 60 s are the least"):
        calibrate_zero_shot(read_footage(files[:2]))
    known = read_parse_predictions(files)
    with pytest.raises(ValueError, match="no class is there in any of the 3 corrected clips"):
        calibrate_zero_shot(footage, split=_split(footage, np.zeros_like(truth), range(3)), known=known)
    other = Split("val", ("x",), NAMES, np.ones((1, 3), bool), truth=np.ones((1, 10, 2, 3), bool))
    with pytest.raises(ValueError, match="none of the 12 parses is of a clip of the split 'val'"):
        calibrate_zero_shot(footage, split=other, known=known)
    halves = replace(_split(footage, truth, range(3)), segment_seconds=0.5)
    with pytest.raises(ValueError, match="have segments of 0.5 s and the parses of 1 s"):
        calibrate_zero_shot(footage, split=halves, known=known)
    record = json.loads(files[0].read_text())
    for key, change, said in (
        ("classes", ["Dog", "Speech", "Bus"], "has other classes than"),
        (
            "system",
            {**record["system"], "decoys": {**record["system"]["decoys"], "audio": ["x"]}},
            "has other decoys than",
        ),
        ("evidence", None, "holds no evidence of decoys"),
        ("system", {"zero_shot": True}, "holds no evidence of decoys"),
        ("system", {**record["system"], "prompts": {}}, "does not say whose cosines it holds"),
    ):
        (tmp_path / "p.json").write_text(json.dumps({**record, "events": [], key: change}))
        with pytest.raises(ValueError, match=said):
            read_footage([files[1], tmp_path / "p.json"])
    nothing = {"audio": None, "visual": None}
    (tmp_path / "p.json").write_text(json.dumps({**record, "events": [], "evidence": nothing}))
    with pytest.raises(ValueError, match="holds no second of sound or picture to calibrate on"):
        calibrate_zero_shot(read_footage([tmp_path / "p.json"]))


def test_classes_that_were_added_while_correcting_are_left_out(written, tmp_path, capsys):
    folder, _ = written
    parse = sorted(folder.glob("*.json"))[0]
    known = read_parse(parse).class_names[0]
    (tmp_path / f"{parse.stem}.txt").write_text(f"0\t1\taudible {known}\n3\t5\taudible Owl\n")
    typed = ["import", "events", str(tmp_path / f"{parse.stem}.txt"), "--exported-from", str(folder)]
    assert main([*typed, "--classes", "Owl,", "--out", str(tmp_path / "mine")]) == 0
    out = tmp_path / "c.json"
    given = ["calibrate", str(folder), "--parses", "--annotations", str(tmp_path / "mine"), "--out", str(out)]
    assert main(given) == 0, capsys.readouterr()
    assert "does not know Owl, with which 2 s are annotated; left out of the scores" in capsys.readouterr().err
    assert "Owl" not in read_zero_shot(out).class_names


def test_the_command(written, tmp_path, capsys):
    folder, _ = written
    out = tmp_path / "c.json"
    assert main(["calibrate", str(folder), "--parses", "--prior", "0.1", "0.2", "--out", str(out)]) == 0
    assert "by prior on 12 media" in capsys.readouterr().out
    assert read_zero_shot(out).provenance["prior"] == [0.1, 0.2]
    for typed, said in (
        (["--parses", "--criterion", "clip-f"], "--criterion is not for --parses"),
        (
            ["--parses", "--subset", "--present-share", "0.1", "1"],
            "--subset, --present-share is not for --parses",
        ),
        (["--parses", "--split", "val"], "give both"),
        (["--parses", "--threshold", "0.3"], "--threshold is not for --parses"),
        (["--prior", "0.1", "0.1"], "--prior is for --parses"),
        (["--parses", "--prior", "0", "0.1"], "--prior must be two shares"),
    ):
        assert main(["calibrate", str(folder), *typed, "--out", str(tmp_path / "x.json")]) == 2
        assert said in capsys.readouterr().err
    own = sorted(folder.glob("*.json"))[0]
    for source in (folder, own):
        assert main(["calibrate", str(source), "--parses", "--out", str(own)]) == 2
        assert "SOURCE" in (said := capsys.readouterr().err) and "would overwrite" in said and read_parse(own)
    assert main(["calibrate", str(tmp_path), "--parses", "--out", str(tmp_path / "x.json")]) == 2
    assert "expected parses" in capsys.readouterr().err
    assert PostProcessing(gate="none", segment_threshold=read_zero_shot(out).threshold).segment_threshold == 0.4
