import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clips import sound

from ast2hf import cut_clips

OGG, MP3, WAV = sound("OGG", seconds=1), sound("MP3", seconds=1), sound("WAV", seconds=0.1)
TAG = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128)


def mp3(content, samples):
    return cut_clips.mp3(content) or cut_clips.mp3_is_other_than(content, samples)


def test_whole_files_are_not_cut():
    assert not cut_clips.wav(WAV)
    assert not cut_clips.ogg(OGG)
    assert not mp3(MP3, 16000)


def test_what_is_beside_the_frames_of_an_mp3_does_no_harm():
    assert not mp3(TAG + MP3, 16000)
    assert not mp3(MP3 + b"TAG" + bytes(125), 16000)
    assert not mp3(bytes(300) + MP3, 16000)


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
def test_every_rate_of_an_mp3(rate):
    content = sound("MP3", rate, seconds=1)
    assert not mp3(content, rate)
    assert mp3(content[: len(content) // 2], rate)
    assert mp3(content, 2 * rate)
    assert mp3(content, rate // 2)


def test_streams_one_behind_the_other():
    assert not cut_clips.ogg(OGG + OGG)
    assert cut_clips.ogg(OGG + OGG[:-1])


@settings(deadline=None)
@given(st.integers(1, len(OGG) - 1))
def test_an_ogg_that_is_cut_anywhere(left):
    assert cut_clips.ogg(OGG[:left])


@settings(deadline=None)
@given(st.integers(45, len(WAV) - 1))
def test_a_wav_that_is_cut_anywhere_among_its_samples(left):
    assert cut_clips.wav(WAV[:left])


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_anything_else_ends(content):
    cut_clips.ogg(content)
    cut_clips.ogg(b"OggS" + content)
    mp3(content, 100)
    mp3(b"ID3" + content, 100)
    cut_clips.wav(content)


def test_a_wav_of_chunks_alone_is_not_read_to_its_end():
    with pytest.raises(cut_clips.TooManyChunksError):
        cut_clips.wav(b"RIFF....WAVE" + (b"LIST" + bytes(4)) * 2000)
