"""Arrays as the page reads them: nothing is lost that decides, and no name leaves its string."""

import base64
import json
import zlib

import numpy as np
import pytest

from tests.toy_viewer import NASTY, TRUTH, toy_document, without_truth
from valor.viewer.packing import NO_STREAM, for_script, pack_clip, pack_index, pack_mask, pack_probs


def steps(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2")


def test_masks_come_back():
    bits = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(pack_mask(TRUTH))), np.uint8))
    assert np.array_equal(bits[: TRUTH.size].astype(bool).reshape(TRUTH.shape), TRUTH)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_probability_reaches_exactly_the_thresholds_it_reached_before(dtype):
    probs = np.linspace(0, 1, 101).astype(dtype)
    packed = steps(pack_probs(probs.astype(np.float32)))
    if dtype != np.float16:  # half cannot tell 0.45 from 0.4499
        assert np.array_equal(packed, np.arange(101) * 100)
    assert steps(pack_probs(np.float32([0.49999, 0.5, np.nan]))).tolist() == [4999, 5000, NO_STREAM]


def test_the_index_knows_every_clip():
    index = pack_index(toy_document())
    assert index["clips"]["id"] == ["a_clip", "b_clip", "c_clip"]
    assert index["clips"]["scores"][0][0] == 100 and index["clips"]["systemsDiffer"][0] > 0
    assert index["systems"][0] == {"name": "one", "kind": "predictions", "thresholds": 5000, "gate": 5000}
    assert json.loads(for_script(index)) == index


def test_clips_without_truth_say_so():
    packed = pack_clip(without_truth(toy_document()).clips[0])
    assert packed["truth"] is None and set(packed["systems"][0]) == {"marks", "probs", "gate", "gateRows"}


def test_no_name_can_end_a_script():
    text = for_script({"name": NASTY + "<!--\u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["name"] == NASTY + "<!--\u2028"
