"""Decoding: frames of a video, by number or by time, as bytes.

Source: FFmpeg through PyAV. The packets are listed first (`packets.py`), so frame i is the i-th
frame on screen whatever the container says, and only the packets between a key packet and the last
frame asked for are decoded. Shapes: frames (t, h, w, 3) uint8, RGB, upright.
Differs from players: pixels are taken as square; transparency is dropped.
"""

from __future__ import annotations

import logging
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch
from av.stream import Discard
from av.video.reformatter import VideoReformatter
from jaxtyping import Float64, UInt8
from torch import Tensor

from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Clip
from internvideo.video.container import check_size, choose_stream, open_container
from internvideo.video.guard import guarded
from internvideo.video.info import VideoInfo, timing
from internvideo.video.packets import UNKNOWN, PacketTable, list_packets
from internvideo.video.rotation import Turn
from internvideo.video.size import scaled_size

_log = logging.getLogger(__name__)
# Decoded frames of streams that only decoding can index are kept up to this many bytes.
_KEPT_FRAME_BYTES = 32 << 20

# Most seconds of decoding from one frame to the next, wherever a video is read: a file that keeps a
# decoder busy for ever is a broken one, and ends no job.
MOST_WITHOUT_FRAME_S = 300.0

# Transfer functions of high dynamic range: PQ (SMPTE 2084) and HLG (ARIB STD-B67), as H.273 counts.
_HDR_TRANSFERS = {16, 18}
# Rates beyond these come from broken clocks; one frame an hour is a time lapse.
_LEAST_FPS, _MOST_FPS = 1 / 3600, 1000.0

# Decoding across so few packets costs less than emptying the decoder and starting behind them.
_SMALL_GAP_PACKETS = 6
# Codecs of which FFmpeg mends the bugs of known encoders, named in the first packet.
_NAMES_ITS_ENCODER = {"h264", "mpeg4"}


class VideoReader:
    """One open video file; use as a context manager.

    `num_threads` are FFmpeg's decoding threads; one is right inside loader workers. Not to be
    shared between threads or processes. Given its `data`, no file is opened and `path` is a name.
    Raises `DecodeError` where the file has no readable video.
    """

    def __init__(
        self, path: str | Path, *, data: bytes | None = None, num_threads: int = 1
    ) -> None:
        if num_threads < 1:
            raise ConfigError(f"num_threads {num_threads} is below 1; use 1 or more")
        self.path = Path(path)
        self._data = data
        self.num_threads = num_threads
        self.num_bad_packets = 0
        self.first_error: str | None = None
        self._shown: list[av.VideoFrame] = []
        self._reformatter = VideoReformatter()
        self._begin()

    @guarded
    def _begin(self) -> None:
        """Open the file and list its packets."""
        self._open()
        try:
            self._table = list_packets(self._container, self._stream)
            if not len(self._table):
                why = self._table.failure or "the file is cut off or empty"
                raise DecodeError(
                    f"{self.path}: no video packet can be read ({why}); replace the file"
                )
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._container = open_container(self.path, self._data)
        try:
            self._stream = choose_stream(self._container, self.path)
            self._codec = self._stream.codec_context
            check_size(self.path, self._codec.width, self._codec.height)
        except BaseException:
            self._container.close()
            raise
        for other in self._container.streams:
            if other is not self._stream:
                other.discard = Discard.all
        self._codec.thread_count = self.num_threads
        self._codec.thread_type = "AUTO" if self.num_threads > 1 else "NONE"
        self._codec.copy_opaque = True

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and free what was kept of it."""
        self._shown.clear()
        self._table = PacketTable()
        self._container.close()

    @cached_property
    @guarded
    def num_frames(self) -> int:
        """How many frames can be decoded by position; cheap where the packets tell."""
        if self._table.num_frames is None:
            self._count_frames()
        return self._table.num_frames or 0

    @property
    def num_promised(self) -> int:
        """How many frames packets and header announce; less than `num_frames` if they are vague."""
        table, header = self._table, self._stream.frames
        if (
            self._container.format.name == "avi"
        ):  # its header also counts frames left out on purpose
            is_whole = header <= max(-1, *table.dts) + 1
        else:
            is_whole = header <= len(table)
        return max(len(table.order or ()), 0 if is_whole else header)

    @guarded
    def walk(self) -> Iterator[av.VideoFrame]:
        """Yield every frame that decodes, as FFmpeg gives it, in order on screen."""
        for _, frame in self._decode(0, len(self._table) - 1):
            yield frame

    @cached_property
    @guarded
    def timestamps_s(self) -> Float64[np.ndarray, " t"]:
        """Presentation time of every frame in seconds from the first, exact."""
        table, num_frames = self._table, self.num_frames
        times = np.array(table.times or table.pts, dtype=np.int64)
        if table.order is not None:
            times = times[np.array(table.order, dtype=np.int64)]
        times = times[times != UNKNOWN]
        if len(times) != num_frames or self._stream.time_base is None:
            return np.arange(num_frames) / self._nominal_fps
        ticks = np.sort(times.astype(np.float64))
        return (ticks - ticks[0]) * float(self._stream.time_base) if num_frames else ticks

    @cached_property
    @guarded
    def key_frames(self) -> list[int]:
        """Numbers of the frames that can be decoded alone, rising; empty where packets hide it."""
        table = self._table
        if table.order is None:
            return []
        return sorted(self._rank[packet] for packet in table.keys if self._rank[packet] >= 0)

    @cached_property
    @guarded
    def info(self) -> VideoInfo:
        """What there is to know about the file; decodes one frame to see whether it is rotated."""
        codec = self._codec
        duration_s, rate_fps, varies = timing(self.timestamps_s, self._nominal_fps)
        first = next(self._pick([0]), None)
        turn = Turn() if first is None else Turn.of(first[1])
        width, height = codec.width, codec.height
        return VideoInfo(
            num_frames=self.num_frames,
            duration_s=duration_s,
            rate_fps=rate_fps,
            width=height if turn.transposed else width,
            height=width if turn.transposed else height,
            codec=codec.name,
            rotation_degrees=turn.degrees,
            has_audio=bool(self._container.streams.audio),
            variable_rate=varies,
            pixel_format=codec.pix_fmt or "unknown",
            bit_depth=codec.format.components[0].bits if codec.format else 8,
            num_clock_jumps=self._table.num_jumps,
            is_hdr=int(codec.color_trc) in _HDR_TRANSFERS,
        )

    @property
    def _nominal_fps(self) -> float:
        """Frames per second as the container says, where it says something sensible."""
        rates = (float(rate or 0) for rate in (self._stream.average_rate, self._stream.base_rate))
        return next((rate for rate in rates if _LEAST_FPS <= rate <= _MOST_FPS), 25.0)

    @guarded
    def frames(self, indices: Sequence[int], *, short_side_px: int | None = None) -> Clip:
        """Decode the frames numbered `indices`: from 0, in order on screen; any order, repeats.

        With `short_side_px` they are scaled while their colours are converted (see `scaled_size`),
        so that no full-size RGB frame is ever made.
        """
        indices = [int(i) for i in indices]
        self._check(indices)
        width, height = scaled_size(self._codec.width, self._codec.height, short_side_px)
        frames = torch.empty(len(indices), height, width, 3, dtype=torch.uint8)
        slots = {index: slot for slot, index in reversed(list(enumerate(indices)))}
        missing, turn = set(slots), None
        for index, frame in self._pick(sorted(slots)):
            self._write(frame, frames[slots[index]].numpy())
            turn = turn or Turn.of(frame)
            missing.discard(index)
        if missing:
            raise self._undecodable(missing)
        for slot, index in enumerate(indices):
            if slots[index] != slot:
                frames[slot] = frames[slots[index]]
        return Clip(
            frames=frames if turn is None else turn.upright(frames),
            timestamps_s=torch.from_numpy(self.timestamps_s[indices]),
            source=str(self.path),
        )

    @guarded
    def frames_at(
        self,
        times_s: Sequence[float],
        *,
        short_side_px: int | None = None,
        past_end: Literal["error", "repeat"] = "error",
    ) -> Clip:
        """Decode, for each time in seconds from the first frame, the frame on screen then."""
        times, duration_s = np.asarray(times_s, dtype=np.float64), self.info.duration_s
        wrong = times[(times < 0) | (times >= duration_s)]
        if len(wrong) and (past_end == "error" or wrong.min() < 0):
            raise DecodeError(
                f"{self.path}: no frame at {wrong[0]:.2f} s, the video runs from 0 to "
                f'{duration_s:.2f} s; ask for another time or pass past_end="repeat"'
            )
        # Half a microsecond forgives times that were computed as index / rate.
        indices = np.searchsorted(self.timestamps_s, times + 5e-7, side="right") - 1
        return self.frames(indices.tolist(), short_side_px=short_side_px)

    @guarded
    def stream(
        self, indices: Sequence[int], *, short_side_px: int | None = None
    ) -> Iterator[tuple[int, UInt8[Tensor, "h w 3"]]]:
        """Yield (index, frame) of increasing `indices`, decoding forward once, a frame at a time.

        Frames are those of `frames`. Raises `DecodeError` at the first that cannot be decoded.
        """
        self._check(indices)
        width, height = scaled_size(self._codec.width, self._codec.height, short_side_px)
        passing, turn = self._forward(indices), None
        for index in indices:
            found, frame = next((pair for pair in passing if pair[0] >= index), (-1, None))
            if found != index or frame is None:
                raise self._undecodable({int(index)})
            pixels = torch.empty(1, height, width, 3, dtype=torch.uint8)
            self._write(frame, pixels[0].numpy())
            turn = turn or Turn.of(frame)
            yield int(index), turn.upright(pixels)[0]

    def _forward(self, indices: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield (index, frame) from the start on; others than `indices` may be left out."""
        table = self._table
        if table.order is None:
            decoded = islice(self._decode(0, len(table) - 1), max(indices, default=-1) + 1)
            yield from enumerate(frame for _, frame in decoded)
            return
        is_wanted, last = bytearray(len(table)), -1
        for index in indices:
            is_wanted[table.order[index]] = True
            last = max(last, table.order[index])
        for packet, frame in self._decode(0, last, is_wanted=is_wanted.__getitem__):
            if packet is not None and self._rank[packet] >= 0:
                yield self._rank[packet], frame

    def _undecodable(self, missing: Collection[int]) -> DecodeError:
        why = self.first_error or "their data is missing"
        return DecodeError(
            f"{self.path}: {_named(missing)} of {self.num_frames} cannot be decoded ({why}); "
            f"leave the file out or take it from its source again"
        )

    def _check(self, indices: Sequence[int]) -> None:
        if not self.num_frames:
            why = self.first_error or "its data are damaged"
            raise DecodeError(f"{self.path}: no frame can be decoded ({why}); leave the file out")
        outside = [i for i in indices if not 0 <= i < self.num_frames]
        if outside:
            promised = self._stream.frames
            note = f" of {promised} that its header promises" * (promised > self.num_frames)
            raise DecodeError(
                f"{self.path}: no frame {outside[0]}, the file holds {self.num_frames} frames"
                f"{note}; ask for 0 to {self.num_frames - 1}"
            )

    def _pick(self, indices: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield (index, frame) of the frames that can be decoded, each once."""
        table = self._table
        if not indices:
            return
        if self._shown:
            yield from ((index, self._shown[index]) for index in indices)
            return
        if table.order is None:
            wanted = set(indices)
            yield from ((i, frame) for i, frame in self._forward(indices) if i in wanted)
            return
        missing = {table.order[index]: index for index in indices}
        for start, packets in self._runs(sorted(missing)):
            for packet, frame in self._decode(
                start, packets[-1], is_wanted=set(packets).__contains__
            ):
                if packet in missing:
                    yield missing.pop(packet), frame
        if missing:  # a key packet that is none, or damage: only the whole way from the start tells
            for packet, frame in self._decode(0, len(table) - 1):
                if packet in missing:
                    yield missing.pop(packet), frame

    @cached_property
    def _times(self) -> array[int] | None:
        """Presentation times in order on screen; None where times are no identity.

        Passing a packet's number through the decoder always works, but costs 3 us a packet.
        """
        table = self._table
        if not table.has_times or table.order is None:
            return None
        return array("q", (table.pts[packet] for packet in table.order))

    @cached_property
    def _rank(self) -> array[int]:
        """Place on screen of every packet; -1 of those that show nothing."""
        rank = array("q", [-1]) * len(self._table)
        for index, packet in enumerate(self._table.order or ()):
            rank[packet] = index
        return rank

    def _runs(self, packets: list[int]) -> list[tuple[int, list[int]]]:
        """Group wanted packets by where decoding has to start for them."""
        runs: list[tuple[int, list[int]]] = []
        for packet in packets:
            start = self._table.decoding_start(packet, self._rank)
            if runs and start - runs[-1][1][-1] <= _SMALL_GAP_PACKETS:
                runs[-1][1].append(packet)
            else:
                runs.append((start, [packet]))
        return runs

    def _count_frames(self) -> None:
        """Decode everything once to learn which packet shows which frame."""
        order, num_bytes = [], 0
        for packet, frame in self._decode(0, len(self._table) - 1):
            order.append(packet)
            num_bytes += sum(plane.buffer_size for plane in frame.planes)
            if num_bytes <= _KEPT_FRAME_BYTES:
                self._shown.append(frame)
        if num_bytes > _KEPT_FRAME_BYTES:
            self._shown.clear()
        self._table.num_frames = len(order)
        if None not in order and len(set(order)) == len(order):
            self._table.order = array("q", order)

    def _decode(
        self, start: int, last: int, *, is_wanted: Callable[[int], object] | None = None
    ) -> Iterator[tuple[int | None, av.VideoFrame]]:
        """Decode packets `start` to `last`; yield (packet number, frame) in order on screen.

        Given `is_wanted`, frames to which no other frame refers are skipped unless it says so.
        """
        skips = is_wanted if self._table.may_skip else None
        if start > 0 and not self._codec.is_open and self._codec.name in _NAMES_ITS_ENCODER:
            self._show_first_packet()
        self._codec.skip_frame = "DEFAULT"
        if self._codec.is_open:
            self._codec.flush_buffers()
        without_frame_s = 0.0
        for number, packet in self._packets(start, last):
            if skips is not None:
                self._codec.skip_frame = "DEFAULT" if skips(number) else "NONREF"
            if self._times is None:
                # PyAV finds it again by identity; a small int is the same object in every thread.
                packet.opaque = [number]
            before_s = time.monotonic()
            frames = self._feed(packet)
            without_frame_s += time.monotonic() - before_s
            if frames:
                without_frame_s = 0.0
            elif without_frame_s > MOST_WITHOUT_FRAME_S:
                raise DecodeError(
                    f"{self.path}: no frame in {without_frame_s:.0f} s of decoding; leave the file "
                    "out or convert it"
                )
            yield from frames
        yield from self._feed(None)

    def _show_first_packet(self) -> None:
        """Let the decoder read the headers of the first packet before it starts elsewhere.

        It may name the encoder, whose known bugs FFmpeg mends (x264's in 4:4:4 streams); decoded
        from the middle alone such a stream would give other pixels.
        """
        self._codec.skip_frame = "ALL"
        for _, packet in self._packets(0, 0):
            self._feed(packet)

    def _feed(self, packet: av.Packet | None) -> list[tuple[int | None, av.VideoFrame]]:
        try:
            frames = self._codec.decode(packet)
        except av.error.FFmpegError as error:
            self.num_bad_packets += 1
            self.first_error = self.first_error or error.strerror
            return []
        if self._times is None:
            return [(frame.opaque[0], frame) for frame in frames]
        return [(self._packet_at(frame.pts), frame) for frame in frames]

    def _packet_at(self, pts: int | None) -> int | None:
        """Find the packet shown at this time."""
        times, order = self._times, self._table.order
        if pts is None or times is None or order is None:
            return None
        index = bisect_left(times, pts)
        return order[index] if index < len(times) and times[index] == pts else None

    def _packets(self, start: int, last: int) -> Iterator[tuple[int, av.Packet]]:
        kept = self._table.kept
        if kept is not None:
            yield from enumerate(kept[start : last + 1], start)
            return
        for number, packet in self._read_again(start):
            if number >= start:
                yield number, packet
            if number >= last:
                return

    def _read_again(self, start: int) -> Iterator[tuple[int, av.Packet]]:
        """Read packets from the file from one at or before `start`; for files too large to keep."""
        times = (self._table.dts[start], self._table.pts[start])
        begin = next((t for t in times if t != UNKNOWN), None)
        if begin is not None:
            self._container.seek(begin, stream=self._stream)
            packets = (packet for packet in self._container.demux(self._stream) if packet.size)
            first = next(packets, None)
            number = None if first is None else self._table.number_of(first)
            if number is not None and number <= start:
                yield from enumerate(chain([first], packets), number)
                return
        _log.debug("%s: seeking to packet %d failed, reading from the start", self.path, start)
        self._container.close()
        self._open()
        yield from enumerate(p for p in self._container.demux(self._stream) if p.size)

    def _write(self, frame: av.VideoFrame, out: UInt8[np.ndarray, "h w 3"]) -> None:
        height, width, _ = out.shape
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8)[: height * plane.line_size]
        out[...] = rows.reshape(height, plane.line_size)[:, : width * 3].reshape(height, width, 3)


def _named(frames: Collection[int]) -> str:
    """Name frames as ranges: 'frames 3, 5-9'."""
    starts = sorted(i for i in frames if i - 1 not in frames)
    ends = sorted(i for i in frames if i + 1 not in frames)
    spans = [f"{a}-{b}" if b > a else str(a) for a, b in zip(starts, ends, strict=True)]
    shown = ", ".join(spans[:8]) + ", ..." * (len(spans) > 8)
    return f"frame{'s' * (len(frames) > 1)} {shown}"
