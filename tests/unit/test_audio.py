import io
import os
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from support.clips import SUBTYPES, sound

from ast2hf import audio
from ast2hf.audio import decode, load_clip
from ast2hf.config import HubFile, Variant
from ast2hf.errors import DownloadError, InputError

MODEL = Variant(sampling_rate=16000)
NO_CACHE = Path("nothing/is/kept/here")
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)


def encoded(samples, rate=16000, kind="WAV", subtype="FLOAT") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


@pytest.fixture
def clip(tmp_path):
    def load(content: bytes):
        (tmp_path / "clip").write_bytes(content)
        return load_clip(str(tmp_path / "clip"), MODEL, NO_CACHE)

    return load


def test_float_samples_come_back_as_they_are(clip, tmp_path):
    found = clip(encoded(TONE))
    assert found.waveform.dtype == torch.float32
    assert torch.equal(found.waveform, torch.from_numpy(TONE))
    assert (found.uri, found.official, found.notes) == ("clip", False, ())


@pytest.mark.parametrize(
    ("kind", "subtype", "atol"), [("WAV", "PCM_16", 2**-15), ("FLAC", "PCM_16", 2**-15), ("FLAC", "PCM_24", 2**-23)]
)
def test_integer_samples_are_scaled_to_one(clip, kind, subtype, atol):
    found = clip(encoded(TONE, kind=kind, subtype=subtype))
    torch.testing.assert_close(found.waveform, torch.from_numpy(TONE), atol=atol, rtol=0)


def test_channels_are_averaged_and_that_is_said(clip):
    found = clip(encoded(np.stack([TONE, np.zeros_like(TONE)], axis=1)))
    assert torch.equal(found.waveform, torch.from_numpy(TONE) / 2)
    assert found.notes == ("2 channels of the clip are averaged into one",)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_are_resampled_and_that_is_said(clip, rate):
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)
    found = clip(encoded(tone, rate))
    assert found.waveform.shape == (16000,)
    inner = slice(500, -500)
    torch.testing.assert_close(found.waveform[inner], torch.from_numpy(TONE)[inner], atol=5e-3, rtol=0)
    assert found.notes == (f"the clip is resampled from {rate} Hz to 16000 Hz",)


SILENCE = encoded(np.zeros(2_000_000, np.int16), 1000, "FLAC", "PCM_16")
"""Half an hour of it in a few KB, and 128 MB when it is resampled."""


def with_rate(rate: int) -> bytes:
    content = bytearray(encoded(TONE, subtype="PCM_16"))
    content[24:28] = struct.pack("<I", rate)
    return bytes(content)


def with_frames(frames: int) -> bytes:
    """A FLAC file whose header claims ``frames``: 36 bits, 4 of them in the byte before."""
    content = bytearray(encoded(TONE, kind="FLAC", subtype="PCM_16"))
    content[21] |= frames >> 32
    content[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<html>", "is neither WAV nor FLAC"),
        (b"RIFF", "cannot be decoded"),
        (b"fLaC" + b"\xff" * 100, "cannot be decoded"),
        (encoded(TONE[:0]), "is too short (0 samples at 16000 Hz)"),
        (encoded(TONE[:399]), "is too short (399 samples at 16000 Hz)"),
        (encoded(TONE[:1102], 44100), "is too short (1102 samples at 44100 Hz)"),
        (encoded(np.full(1000, np.nan, np.float32)), "NaN or infinite samples"),
        (encoded(np.full(1000, np.inf, np.float32), 8000), "NaN or infinite samples"),
        (encoded(np.full((1000, 2), [np.inf, -np.inf], np.float32)), "NaN or infinite samples"),
        (encoded(np.full(1000, 1e300), subtype="DOUBLE"), "NaN or infinite samples"),
        (encoded(np.where(np.arange(1000) == 7, np.float32(3e38), 0)), "has samples of up to 3.0e+38"),
        (encoded(np.full((1000, 2), np.float32(-3e38)), 8000), "has samples of up to 3.0e+38"),
        (encoded(np.full(1000, np.float32(2**31 + 512))), "has samples of up to 2.1e+09"),
        (encoded(TONE)[:12] + b"fact" + bytes(4) + bytes(8 * 2000), "has more than 1,000 chunks before its samples"),
        (SILENCE, "lasts 2,000 s"),
        (encoded(TONE)[:-1], "is truncated"),
        (encoded(TONE, subtype="PCM_16")[:5000], "is truncated"),
        (encoded(TONE, kind="FLAC", subtype="PCM_16")[:5000], "cannot be decoded"),
        (with_rate(0), "cannot be decoded"),
        (with_rate(44101), "unsupported sampling rate of 44101 Hz"),
        (with_rate(1), "unsupported sampling rate of 1 Hz"),
        (with_rate(2**31 - 1), "16000 samples at 2147483647 Hz"),
        (with_frames(2**36 - 1), "has 68,719,476,735 samples"),
    ],
)
def test_clips_that_cannot_be_used(clip, content, words):
    with pytest.raises(InputError) as caught:
        clip(content)
    assert words in caught.value.cause
    assert "0x" not in caught.value.cause


def test_a_flipped_bit_in_a_flac_is_found(clip):
    content = bytearray(encoded(TONE, kind="FLAC", subtype="PCM_16"))
    content[len(content) // 2] ^= 1
    with pytest.raises(InputError, match="cannot be decoded"):
        clip(bytes(content))


@pytest.mark.parametrize("peak", [1.5, -32768.0, 2.0**31])
def test_integers_that_were_not_scaled_are_taken(clip, peak):
    assert clip(encoded(np.where(np.arange(1000) == 7, np.float32(peak), 0))).waveform[7] == peak


def test_a_clip_of_twenty_minutes_is_taken_and_no_longer_one(clip):
    longest = np.zeros(1200 * 1000, np.int16)
    assert clip(encoded(longest, 1000, "FLAC", "PCM_16")).waveform.shape == (1200 * 16000,)
    with pytest.raises(InputError, match=r"lasts 1,201 s; use at most 1,200 s of it"):
        clip(encoded(np.zeros(1201 * 1000, np.int16), 1000, "FLAC", "PCM_16"))


def test_a_clip_that_is_too_long_is_not_decoded(clip, monkeypatch):
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match="lasts"):
        clip(SILENCE)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/urandom", "pipe", "large.wav"])
def test_a_clip_without_end_is_not_read(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("large.wav").touch()
    os.truncate("large.wav", 1 << 31)
    monkeypatch.setattr(audio, "MAX_FILE", 1 << 21)
    with pytest.raises(InputError, match=r"cannot be read \(it (is a (device|pipe), not a regular file|has more than)"):
        load_clip(path, MODEL, NO_CACHE)


def test_the_shortest_clip(clip):
    assert clip(encoded(TONE[:400])).waveform.shape == (400,)


def test_a_wav_from_a_recorder_that_cannot_seek(clip):
    content = bytearray(encoded(TONE, subtype="PCM_16"))
    start = content.index(b"data") + 4
    content[4:8] = content[start : start + 4] = b"\xff" * 4
    assert clip(bytes(content)).waveform.shape == (16000,)


@pytest.mark.parametrize("path", ["missing.wav", ".", "", "~nobody-of-this-name/x.wav"])
def test_a_clip_that_cannot_be_read(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cannot be read|unknown user in"):
        load_clip(path, MODEL, NO_CACHE)


def test_the_packaged_clip():
    assert load_clip("packaged", MODEL, NO_CACHE) is load_clip(None, MODEL, NO_CACHE)
    assert load_clip("packaged", Variant(sampling_rate=8000), NO_CACHE).waveform.shape == (81920,)
    for found in (load_clip("packaged", MODEL, NO_CACHE), load_clip(None, MODEL, NO_CACHE)):
        assert found.waveform.shape == (163840,)
        assert (found.uri, found.official, found.notes) == ("packaged", False, ())
        assert found.waveform.abs().max() <= 1


def test_the_model_s_own_clip(tmp_path, monkeypatch):
    (tmp_path / "clip.flac").write_bytes(encoded(TONE, kind="FLAC", subtype="PCM_16"))
    monkeypatch.setattr(audio.hub_download, "fetch", lambda file, *_: tmp_path / file.filename)
    found = load_clip(None, Variant(sampling_rate=16000, clip_file=HubFile("owner/repo", "clip.flac")), NO_CACHE)
    assert (found.uri, found.official) == ("hf://datasets/owner/repo/clip.flac", True)
    assert found.waveform.shape == (16000,)


def test_the_model_s_own_clip_needs_the_network_where_it_is_not_in_the_cache():
    model = Variant(sampling_rate=16000, clip_file=HubFile("owner/repo", "clip.flac"))
    with pytest.raises(DownloadError, match=r"clip clip\.flac of owner/repo cannot be downloaded"):
        load_clip(None, model, NO_CACHE)


def test_a_signal_while_a_clip_is_decoded_is_no_damage(clip, monkeypatch):
    class Interrupted(io.BytesIO):
        def tell(self):
            signal.raise_signal(signal.SIGINT)
            return super().tell()

    content = encoded(TONE)
    monkeypatch.setattr(audio.io, "BytesIO", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        clip(content)


@pytest.mark.parametrize("kind", SUBTYPES)
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_the_clips_of_data_sets_are_decoded_by_the_same_rules(kind, rate):
    found = decode(sound(kind, rate, seconds=1, channels=2), "a clip", 16000)
    assert (found.uri, found.official) == ("a clip", False)
    assert abs(len(found.waveform) - 16000) <= 2
    assert found.waveform.dtype == torch.float32
    assert torch.isfinite(found.waveform).all()
    assert 0.15 < found.waveform.std() < 0.3
    said = ["2 channels of the clip are averaged into one"]
    said += [f"the clip is resampled from {rate} Hz to 16000 Hz"] if rate != 16000 else []
    assert list(found.notes) == said


def test_opus_is_decoded():
    assert decode(encoded(TONE, 16000, "OGG", "OPUS"), "clip.opus", 16000).waveform.shape == (16000,)


@pytest.mark.parametrize("kind", SUBTYPES)
@pytest.mark.parametrize("left", [-1, -100, 0.9, 0.5, 0.2])
def test_a_clip_that_is_cut_is_refused_whatever_its_format(kind, left):
    content = sound(kind, seconds=1)
    with pytest.raises(InputError) as caught:
        decode(content[: left if left < 0 else int(left * len(content))], "x/clip", 16000)
    assert caught.value.cause.startswith("clip x/clip ")
    assert "\n" not in str(caught.value)


def test_ogg_and_mp3_are_not_the_clip_of_the_proof(clip):
    for kind in ("OGG", "MP3"):
        with pytest.raises(InputError, match="is neither WAV nor FLAC"):
            clip(sound(kind))


@pytest.mark.parametrize("content", [b"text", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xfb" + bytes(500), b"OggS" * 100])
def test_what_only_begins_like_a_clip_is_refused(content):
    with pytest.raises(InputError, match=r"^clip x (is (none of WAV, FLAC, OGG, MP3|truncated)|cannot be decoded)"):
        decode(content, "x", 16000)
