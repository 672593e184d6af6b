"""Whether a sound file is truncated, which libsndfile does not detect in all formats."""

from __future__ import annotations

import struct

MAX_CHUNKS = 1000
"""In a WAV, before its samples. Eight bytes make one."""

_MAX_PAGES = 1 << 20
"""In an Ogg file. A page usually has 4 KB, but 27 bytes make one."""

_LAST_PAGE = 4
"""Bit of a page's header: the page is the last of its stream."""

_BITRATES = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Of MP3 in kbit/s by the index in a frame's header, for MPEG 1, and for 2 and 2.5. Source: ISO 11172-3, 13818-3."""

_RATES = (44100, 48000, 32000)
"""Of MPEG 1 in Hz; half of that for 2, a quarter for 2.5."""

_SLACK = 4
"""Frames of an MP3 by which its length may differ: an encoder's delay and padding, and the frame that states them."""


class TooManyChunksError(ValueError):
    """A WAV with more than :data:`MAX_CHUNKS` before its samples."""


def wav(content: bytes) -> bool:
    """Whether the samples end before their stated size. Raises TooManyChunksError. Source: the RIFF specification."""
    position = 12
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(content):
            return False
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if content[position : position + 4] == b"data":
            return position + 8 + size > len(content) and size != 0xFFFFFFFF  # a recorder that cannot seek writes this
        position += 8 + size + size % 2
    raise TooManyChunksError


def ogg(content: bytes) -> bool:
    """Whether the last page is missing or incomplete. Source: RFC 3533."""
    position, flags = 0, 0
    for _ in range(_MAX_PAGES):
        if content[position : position + 4] != b"OggS" or position + 27 > len(content):
            break
        flags, segments = content[position + 5], content[position + 26]
        position += 27 + segments + sum(content[position + 27 : position + 27 + segments])
    return position > len(content) or not flags & _LAST_PAGE


def mp3(content: bytes) -> bool:
    """Whether the last frame is incomplete."""
    return _frames(content)[0] > len(content)


def mp3_is_other_than(content: bytes, samples: int) -> bool:
    """Whether its frames do not add up to ``samples``, the length that it states or that its first frame implies.

    libsndfile decodes no more than that, so even a complete recording would lose its end if it has a variable bitrate
    and does not state its length. Finds nothing if anything but a tag precedes the frames.
    """
    _, frames, each = _frames(content)
    return frames > 0 and abs(frames * each - samples) > _SLACK * each


def _frames(content: bytes) -> tuple[int, int, int]:
    """Where the frames of an MP3 end, how many there are, and the samples of each."""
    position, frames, each = _after_tag(content), 0, 0
    while (header := _frame(content, position)) is not None:
        size, each = header
        position, frames = position + size, frames + 1
    return position, frames, each


def _after_tag(content: bytes) -> int:
    """Where the first frame begins: after an ID3 tag, whose size has seven bits a byte."""
    if not content.startswith(b"ID3") or len(content) < 10:
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _frame(content: bytes, position: int) -> tuple[int, int] | None:
    """Bytes and samples of the frame of layer 3 at ``position``; None if there is none."""
    if position + 4 > len(content):
        return None
    (header,) = struct.unpack_from(">I", content, position)
    version, layer = header >> 19 & 3, header >> 17 & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5; 1: layer 3
    bitrate, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return None
    first = version == 3
    kilobits, hertz = _BITRATES[1 if first else 2][bitrate], _RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    return (144 if first else 72) * 1000 * kilobits // hertz + padding, 1152 if first else 576


IS_CUT = {"WAV": wav, "OGG": ogg, "MP3": mp3}
"""By format. For a truncated FLAC the decoder raises an error."""
