"""Which compressed packet shows which frame: the index that makes seeking exact.

Reading the packets of a file without decoding them costs microseconds each and tells everything
needed to fetch frame i alone: sorted presentation times are the frames, key packets are the places
where decoding can start. Some containers (AVI above all) hold no presentation times, and some
packets show nothing; `PacketTable.order` is then left open and the reader finds it by decoding.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Int64

from internvideo.video.mpeg4 import screen_order

# Containers whose presentation times come from the multiplexer and not from a parser's guess.
_TIMED_CONTAINERS = {"mov", "mp4", "matroska", "webm", "gif", "flv", "apng", "mpeg", "mpegts"}
# Codecs of which every packet shows one frame, whatever the container says about time.
_ONE_FRAME_A_PACKET = {"h264", "hevc", "mjpeg", "msmpeg4", "msmpeg4v2", "cinepak", "rawvideo"}
# Codecs in which "no other frame refers to it" is certain (in HEVC only within a temporal layer).
# MPEG-4 with packed pictures is not among them: FFmpeg then mislabels the frames it does not skip.
_SKIPPABLE = {"h264", "mpeg4", "mpeg1video", "mpeg2video"}
# MPEG-4 part 2 marks a repeated frame by a packet of a few bytes that decodes to nothing.
_EMPTY_MPEG4_BYTES = 8
# Files up to this size stay in memory after listing, so that no packet is read twice.
_KEPT_BYTES = 48 << 20
# What a packet takes besides its content, which in hours of small pictures is most of it.
_PACKET_BYTES = 512
# Between two frames; longer ones are leaps of a broken clock.
_LONGEST_PAUSE_S = 3600.0
# Stands for a time or place that the container does not tell.
UNKNOWN = -(2**63)


def _column(values: Iterable[int] = ()) -> array[int]:
    """A list of integers in 8 bytes each: an hour of video has a hundred thousand packets."""
    return array("q", values)


@dataclass(slots=True)
class PacketTable:
    """Packets of one video stream in file order; `order[i]` is the packet that shows frame i.

    Columns hold `UNKNOWN` where the file says nothing. `order` is None where only decoding can
    tell, and `num_frames` then says how many there are if that much is certain. `has_times`:
    presentation times are distinct and those of the frames. `times` are the presentation times with
    `num_jumps` leaps of the clock taken out, None where there are none. `may_skip`: FFmpeg may
    leave out frames to which no other frame refers without harm to the rest. `kept` holds the
    packets themselves unless the file is large.
    """

    pts: array[int] = field(default_factory=_column)
    dts: array[int] = field(default_factory=_column)
    positions: array[int] = field(default_factory=_column)
    sizes: array[int] = field(default_factory=_column)
    keys: array[int] = field(default_factory=_column)
    discarded: set[int] = field(default_factory=set)
    kept: list[av.Packet] | None = field(default_factory=list)
    order: array[int] | None = None
    num_frames: int | None = None
    has_times: bool = False
    times: array[int] | None = None
    num_jumps: int = 0
    may_skip: bool = False
    failure: str | None = None

    def __len__(self) -> int:
        return len(self.pts)

    def add(self, packet: av.Packet) -> None:
        """Append a packet as the last of the file."""
        if packet.is_keyframe:
            self.keys.append(len(self))
        if packet.is_discard:
            self.discarded.add(len(self))
        for column, value in zip(self._columns, _identity(packet), strict=True):
            column.append(value)

    def number_of(self, packet: av.Packet) -> int | None:
        """Recognise a packet that was read again."""
        same = [
            np.frombuffer(column, np.int64) == value
            for column, value in zip(self._columns, _identity(packet), strict=True)
        ]
        found = np.flatnonzero(np.logical_and.reduce(same))
        return int(found[-1]) if len(found) else None

    @property
    def _columns(self) -> tuple[array[int], ...]:
        return self.pts, self.dts, self.positions, self.sizes

    def decoding_start(self, packet: int, rank: Sequence[int]) -> int:
        """Find the last key packet from which `packet` decodes to the same pixels as ever.

        A packet that follows a key packet in the file but precedes it on screen refers to frames
        before the key packet, so it needs the key packet before that one. `rank` is the place on
        screen of each packet, -1 where it has none.
        """
        i = bisect_right(self.keys, packet) - 1
        while i > 0 and rank[packet] < rank[self.keys[i]]:
            i -= 1
        return self.keys[i] if i > 0 else 0


def list_packets(container: InputContainer, stream: VideoStream) -> PacketTable:
    """Read every packet of `stream`; a file that breaks off is listed as far as it goes."""
    table, num_bytes = PacketTable(), 0
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            table.add(packet)
            num_bytes += packet.size
            if num_bytes + _PACKET_BYTES * len(table) > _KEPT_BYTES:
                table.kept = None
            elif table.kept is not None:
                table.kept.append(packet)
    except av.error.FFmpegError as error:
        table.failure = error.strerror
    _find_order(table, container.format.name, stream)
    return table


def _find_order(table: PacketTable, container_names: str, stream: VideoStream) -> None:
    codec = stream.codec_context.name
    if codec == "vp8" and table.kept is not None:
        table.discarded |= {i for i, packet in enumerate(table.kept) if not _is_shown_vp8(packet)}
    shown = np.setdiff1d(np.arange(len(table)), list(table.discarded))
    times = np.array(table.pts, dtype=np.int64)[shown]
    parts = _clock_parts(table, stream)[shown]
    on_screen = np.lexsort((times, parts))
    _mend_clock(table, shown[on_screen], parts[on_screen], stream)
    starts_with_key = bool(table.keys) and table.keys[0] == 0
    rises = np.diff(times[on_screen]) > 0
    are_distinct = bool((rises | (np.diff(parts[on_screen]) > 0)).all())
    trusted = starts_with_key and UNKNOWN not in times and are_distinct
    if codec == "mpeg4" and min(table.sizes, default=0) <= _EMPTY_MPEG4_BYTES:
        trusted = False
    elif _TIMED_CONTAINERS.isdisjoint(container_names.split(",")):
        # Without reordering, file order is presentation order whatever the times say.
        trusted &= not stream.codec_context.has_b_frames and table.pts == table.dts
    if not trusted and codec == "mpeg4" and starts_with_key and table.kept is not None:
        order = screen_order(table.kept)
        table.order = None if order is None else _column(order)
        table.keys = _column(key for key in table.keys if table.sizes[key] > _EMPTY_MPEG4_BYTES)
    elif trusted:
        table.order = _column(shown[on_screen].tolist())
        table.has_times = not parts.any()
        table.may_skip = codec in _SKIPPABLE
    if table.order is not None:
        table.num_frames = len(table.order)
    elif codec in _ONE_FRAME_A_PACKET and starts_with_key:
        table.num_frames = len(shown)


def _clock_parts(table: PacketTable, stream: VideoStream) -> Int64[np.ndarray, " packets"]:
    """Number for each packet the stretch of file in which the clock never runs backwards.

    Decoding times rise from packet to packet; without reordering, presentation times do.
    """
    clock = np.array(table.dts, dtype=np.int64)
    if UNKNOWN in clock and not stream.codec_context.has_b_frames:
        clock = np.array(table.pts, dtype=np.int64)
    if UNKNOWN in clock or UNKNOWN in table.pts:
        return np.zeros(len(table), dtype=np.int64)
    return np.concatenate([[0], np.cumsum(np.diff(clock) < 0)])[: len(table)]


def _mend_clock(
    table: PacketTable,
    packets: Int64[np.ndarray, " shown"],
    parts: Int64[np.ndarray, " shown"],
    stream: VideoStream,
) -> None:
    """Let times go on by the usual interval where the clock restarts or leaps (see `times`)."""
    if len(packets) < 2 or stream.time_base is None:
        return
    times = np.array(table.pts, dtype=np.int64)[packets]
    if UNKNOWN in times:
        return
    # In floats: the difference of two absurd times does not fit in 64 bits.
    steps = np.diff(times.astype(np.float64))
    jumps = (np.diff(parts) > 0) | (steps * float(stream.time_base) > _LONGEST_PAUSE_S)
    if not jumps.any():
        return
    regular = steps[~jumps]
    usual = float(np.median(regular)) if len(regular) else 0.0
    if usual <= 0:
        usual = 1 / (25 * float(stream.time_base))
    mended = np.concatenate([[0.0], np.cumsum(np.where(jumps, usual, steps))])
    table.times = array("q", table.pts)
    for packet, time in zip(packets.tolist(), mended.tolist(), strict=True):
        table.times[packet] = round(time)
    table.num_jumps = int(jumps.sum())


def _identity(packet: av.Packet) -> tuple[int, int, int, int]:
    pts, dts, position = (
        UNKNOWN if value is None else value for value in (packet.pts, packet.dts, packet.pos)
    )
    return pts, dts, position, packet.size


def _is_shown_vp8(packet: av.Packet) -> bool:
    return bool(memoryview(packet)[0] & 0x10)  # show_frame, RFC 6386 section 9.1
