"""The index of a file: small however long the video is."""

from __future__ import annotations

import tracemalloc

import av

from internvideo.video.packets import UNKNOWN, PacketTable

NUM_PACKETS = 50_000


def table(count: int) -> PacketTable:
    found, packet = PacketTable(kept=None), av.Packet(5000)
    for number in range(count):
        packet.pts, packet.dts = number * 512, number * 512 - 1024
        packet.is_keyframe = not number % 60
        found.add(packet)
    return found


def test_a_packet_costs_a_few_bytes_of_memory():
    tracemalloc.start()
    found = table(NUM_PACKETS)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held / NUM_PACKETS < 40  # four numbers of 8 bytes, and room that a list grows into
    assert len(found) == NUM_PACKETS
    assert list(found.keys[:3]) == [0, 60, 120]


def test_a_packet_that_is_read_again_is_recognised():
    found, packet = table(100), av.Packet(5000)
    packet.dts = 7
    found.add(packet)

    assert found.pts[100] == UNKNOWN
    assert found.number_of(packet) == 100
    packet.pts, packet.dts = 7 * 512, 7 * 512 - 1024
    assert found.number_of(packet) == 7
    packet.pts = 11
    assert found.number_of(packet) is None
