"""Which compressed packet shows which frame: the index that makes seeking exact.

Reading the packets of a file without decoding them costs microseconds each and tells everything
needed to fetch frame i alone: sorted presentation times are the frames, key packets are the places
where decoding can start. Some containers (AVI above all) hold no presentation times, and some
packets show nothing; `PacketTable.order` is then left open and the reader finds it by decoding.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import av
from av.container import InputContainer
from av.video.stream import VideoStream

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


@dataclass(slots=True)
class PacketTable:
    """Packets of one video stream in file order; `order[i]` is the packet that shows frame i.

    `order` is None where only decoding can tell, and `num_frames` then says how many there are if
    that much is certain. `has_times`: presentation times are distinct and those of the frames.
    `may_skip`: FFmpeg may leave out frames to which no other frame refers without harm to the
    rest. `kept` holds the packets themselves unless the file is large.
    """

    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    positions: list[int | None] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    discarded: set[int] = field(default_factory=set)
    kept: list[av.Packet] | None = field(default_factory=list)
    order: list[int] | None = None
    num_frames: int | None = None
    has_times: bool = False
    may_skip: bool = False
    failure: str | None = None

    _numbers: dict[tuple[int | None, ...], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pts)

    def number_of(self, packet: av.Packet) -> int | None:
        """Recognise a packet that was read again."""
        if not self._numbers:
            columns = zip(self.positions, self.dts, self.pts, self.sizes, strict=True)
            self._numbers = {identity: number for number, identity in enumerate(columns)}
        return self._numbers.get((packet.pos, packet.dts, packet.pts, packet.size))

    def decoding_start(self, packet: int, rank: dict[int, int]) -> int:
        """Find the last key packet from which `packet` decodes to the same pixels as ever.

        A packet that follows a key packet in the file but precedes it on screen refers to frames
        before the key packet, so it needs the key packet before that one.
        """
        i = bisect_right(self.keys, packet) - 1
        while i > 0 and rank[packet] < rank.get(self.keys[i], -1):
            i -= 1
        return self.keys[i] if i > 0 else 0


def list_packets(container: InputContainer, stream: VideoStream) -> PacketTable:
    """Read every packet of `stream`; a file that breaks off is listed as far as it goes."""
    table, rows, num_bytes = PacketTable(), [], 0
    try:
        for packet in container.demux(stream):
            size = packet.size
            if not size:
                continue
            if packet.is_keyframe:
                table.keys.append(len(rows))
            if packet.is_discard:
                table.discarded.add(len(rows))
            rows.append((packet.pts, packet.dts, packet.pos, size))
            num_bytes += size
            if num_bytes > _KEPT_BYTES:
                table.kept = None
            elif table.kept is not None:
                table.kept.append(packet)
    except av.error.FFmpegError as error:
        table.failure = error.strerror
    if rows:
        table.pts, table.dts, table.positions, table.sizes = map(list, zip(*rows, strict=True))
    _find_order(table, container.format.name, stream)
    return table


def _find_order(table: PacketTable, container_names: str, stream: VideoStream) -> None:
    codec = stream.codec_context.name
    if codec == "vp8" and table.kept is not None:
        table.discarded |= {i for i, packet in enumerate(table.kept) if not _is_shown_vp8(packet)}
    shown = [number for number in range(len(table)) if number not in table.discarded]
    times = [table.pts[number] for number in shown]
    starts_with_key = table.keys[:1] == [0]
    trusted = starts_with_key and None not in times and len(set(times)) == len(times)
    if codec == "mpeg4" and min(table.sizes, default=0) <= _EMPTY_MPEG4_BYTES:
        trusted = False
    elif _TIMED_CONTAINERS.isdisjoint(container_names.split(",")):
        # Without reordering, file order is presentation order whatever the times say.
        trusted &= not stream.codec_context.has_b_frames and table.pts == table.dts
    if not trusted and codec == "mpeg4" and starts_with_key and table.kept is not None:
        table.order = screen_order(table.kept)
        table.keys = [key for key in table.keys if table.sizes[key] > _EMPTY_MPEG4_BYTES]
    elif trusted:
        table.order = sorted(shown, key=table.pts.__getitem__)
        table.has_times = True
        table.may_skip = codec in _SKIPPABLE
    if table.order is not None:
        table.num_frames = len(table.order)
    elif codec in _ONE_FRAME_A_PACKET and starts_with_key:
        table.num_frames = len(shown)


def _is_shown_vp8(packet: av.Packet) -> bool:
    return bool(memoryview(packet)[0] & 0x10)  # show_frame, RFC 6386 section 9.1
