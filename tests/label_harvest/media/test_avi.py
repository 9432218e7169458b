"""AVI: what is lost between its chunks is refused with its second, and every writer's whole file is whole."""

import re

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, frame_number, write_toy_clip
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows

GRID = Grid(num_segments=5, sample_rate=8000)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A whole AVI of five seconds, ten frames a second: (what comes before its chunks, the chunks)."""
    path = tmp_path_factory.mktemp("avi") / "toy.avi"
    video = ToyVideo(seconds=5, codec="ffv1", noise=True)
    write_toy_clip(path, video=video, sound=ToySound(seconds=5, rate=8000, codec="pcm_s16le"))
    data = path.read_bytes()
    place = data.index(b"movi") + 4
    start, end = place, place + int.from_bytes(data[place - 8 : place - 4], "little") - 4
    chunks = []
    while place < end:
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        chunks.append((data[place : place + 4], data[place + 8 : place + 8 + size]))
        place += 8 + size + size % 2
    assert sum(name == b"00dc" for name, _ in chunks) == 50
    return data[: start - 12], chunks


def chunk(name, content, *, padded=True):
    return name + len(content).to_bytes(4, "little") + content + b"\0" * (padded and len(content) % 2)


def avi(toy, chunks=None, *, index=True, glue=b"", **how):
    """An AVI of some chunks, with something between them that the index, if there is one, knows nothing of."""
    movi, entries = b"movi", b""
    for name, content in toy[1] if chunks is None else chunks:
        if name[:2].isdigit():
            sizes = [number.to_bytes(4, "little") for number in (16, len(movi), len(content))]
            entries += name + b"".join(sizes)
        movi += chunk(name, content, **how) + glue
    return toy[0] + chunk(b"LIST", movi) + (chunk(b"idx1", entries) if index else b"")


def lists(toy):
    """Chunks by twos in lists."""
    pairs = [toy[1][place : place + 2] for place in range(0, len(toy[1]), 2)]
    return [(b"LIST", b"rec " + b"".join(chunk(*one) for one in pair)) for pair in pairs]


def with_others(toy, name):
    return [other for one in toy[1] for other in (one, (name, bytes(30)))]


def in_two(toy):
    """The second half in a list of its own, as in files of gigabytes."""
    half = len(toy[1]) // 2
    rest = b"".join(chunk(*one) for one in toy[1][half:])
    return avi(toy, toy[1][:half]) + chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + rest))


WHOLE = {
    "plain": avi,
    "without an index": lambda toy: avi(toy, index=False),
    "sizes never filled in": lambda toy: re.sub(
        rb"LIST....movi", b"LIST\0\0\0\0movi", avi(toy, index=False), flags=re.DOTALL
    ),
    "odd chunks not filled up": lambda toy: avi(toy, index=False, padded=False),
    "chunks in lists": lambda toy: avi(toy, lists(toy), index=False),
    "filled up with JUNK": lambda toy: avi(toy, with_others(toy, b"JUNK")),
    "indexes between": lambda toy: avi(toy, with_others(toy, b"ix00")),
    "chunks of others": lambda toy: avi(toy, with_others(toy, b"gps0")),
    "chunks of others without an index": lambda toy: avi(toy, with_others(toy, b"gps0"), index=False),
    "filled up with zeros": lambda toy: avi(toy, glue=bytes(64)),
    "in two": in_two,
    "rubbish behind it": lambda toy: avi(toy) + np.random.default_rng(1).bytes(3000),
    "rubbish before it": lambda toy: bytes(range(1, 200)) * 3 + avi(toy),
    "zeros behind the last frame": lambda toy: avi(toy, index=False) + bytes(5000),
}


def seen(path):
    """Numbers of the frames one of each second, and how loud it is."""
    (window,) = read_windows(survey_media(path), GRID, hop=5)
    loud = np.abs(window.clip.waveform.reshape(5, -1)).max(axis=1)
    return [frame_number(image[:20]) for image in window.clip.frames], loud


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_of_other_writers_are_whole(tmp_path, toy, name):
    path = tmp_path / "a.avi"
    path.write_bytes(WHOLE[name](toy))
    numbers, loud = seen(path)
    assert np.abs(np.array(numbers) - [0, 13, 25, 36, 49]).max() <= 2 and (loud > 0.1).all()
    assert read_clip(path, grid=GRID).status == "ok"


def test_frames_that_were_dropped_repeat_the_picture(tmp_path, toy):
    pictures, dropped = 0, []
    for name, content in toy[1]:
        pictures += name == b"00dc"
        dropped.append((name, b"" if name == b"00dc" and 20 < pictures < 30 else content))
    path = tmp_path / "a.avi"
    path.write_bytes(avi(toy, dropped))
    numbers, _ = seen(path)
    assert np.abs(np.array(numbers) - [0, 13, 20, 36, 49]).max() <= 2
    assert read_clip(path, grid=GRID).status == "ok"


def test_a_file_that_was_cut_is_kept_up_to_there(tmp_path, toy):
    path = tmp_path / "a.avi"
    whole = avi(toy)
    for size in range(len(whole) * 6 // 10, len(whole) * 6 // 10 + 1500, 171):
        path.write_bytes(whole[:size])
        assert survey_media(path).video_seconds == pytest.approx(3, abs=0.5)
        assert read_clip(path, grid=GRID).status == "short"


def mangled(way, data, place):
    size = len(data) // 10
    middle = {
        "other bytes": bytes(byte ^ 0x5A for byte in data[place : place + size]),
        "zeros": bytes(size),
        "gone": b"",
        "more": data[place : place + size] + np.random.default_rng(0).bytes(size // 2),
    }
    return data[:place] + middle[way] + data[place + size :]


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("way", ["other bytes", "zeros", "gone", "more"])
def test_damage_in_the_middle_is_refused_with_its_second(tmp_path, toy, way, index):
    path, whole = tmp_path / "a.avi", avi(toy, index=index)
    for part in (3, 5, 7):
        path.write_bytes(mangled(way, whole, len(whole) * part // 10))
        for read in (survey_media, lambda path: read_clip(path, grid=GRID)):
            with pytest.raises(MediaError, match=r"a.avi: damaged at \d\.\d\d s, behind which it goes on") as error:
                read(path)
            at = float(re.search(r"at (\S+) s", str(error.value))[1])
            assert at == pytest.approx(part / 2, abs=0.6 if way != "more" else 1.2)


@pytest.mark.parametrize("change", ["name", "long", "longest", "short"])
def test_one_wrong_head_of_a_chunk_is_seen(tmp_path, toy, change):
    whole = avi(toy)
    place = [found.start() for found in re.finditer(b"00dc", whole[: whole.index(b"idx1")])][25]
    size = int.from_bytes(whole[place + 4 : place + 8], "little")
    head = {
        "name": b"p0dc" + whole[place + 4 : place + 8],
        "long": b"00dc" + (size + 3000).to_bytes(4, "little"),
        "longest": b"00dc" + (size + 2**28).to_bytes(4, "little"),
        "short": b"00dc" + (size // 2).to_bytes(4, "little"),
    }
    (tmp_path / "a.avi").write_bytes(whole[:place] + head[change] + whole[place + 8 :])
    with pytest.raises(MediaError, match=r"damaged (video )?at 2\.[4-7]\d s"):
        survey_media(tmp_path / "a.avi")
