"""Habitat's adapter against a stand-in: the server's own loop around one of our houses."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from internvideo.errors import ConfigError, SimulatorError
from internvideo.metrics import navigation_metrics
from internvideo.navigation import Go, HabitatEnvironment, RoomsEnvironment, make_episodes
from internvideo.navigation.environment import Place

_PATH = Path(__file__).parents[3] / "integrations" / "habitat_server.py"
_SPEC = importlib.util.spec_from_file_location("habitat_server", _PATH)
habitat_server = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(habitat_server)


class StandIn:
    """Answers as `habitat_server.Simulator` does, in a generated house."""

    def __init__(self, episode):
        self.episode, self.rooms = episode, RoomsEnvironment(side_px=None)

    def answer(self, request):
        if request["do"] == "reset":
            if not request["scene"].startswith("house-"):
                return {"error": f"its scene {request['scene']} is missing"}, ()
            self.rooms.reset(self.episode)
            place = self.rooms.place
            return self.told() | {"position": place.position, "heading": place.heading}, ()
        if request["do"] == "go":
            before = len(self.rooms.headings)
            self.rooms.step(Go(request["angle"], request["distance_m"]))
            record = self.rooms.record()
            return self.told() | {
                "positions": list(record.path[before:]),
                "headings": self.rooms.headings[before:],
                "collided": list(record.collided[before - 1 :]),
            }, ()
        if request["do"] == "look":
            place = Place(tuple(request["position"]), request["heading"])
            self.rooms.side_px = request["side_px"]
            seen = self.rooms._render(place)
            return {}, [("colours", seen.colours), ("depths_m", seen.depths_m)]
        if request["do"] == "try":
            return {
                "distances_m": self.rooms.distances_after([Go(*m) for m in request["moves"]])
            }, ()
        action = self.rooms.towards_goal()
        return {} if action is None else {
            "angle": action.angle,
            "distance_m": action.distance_m,
        }, ()

    def told(self):
        return {"distance_m": self.rooms.distance_m}


@pytest.fixture(scope="module")
def episode():
    return make_episodes("val_unseen", 3, seed=5)[-1]


@pytest.fixture
def serve(free_port):
    """Runs `answer(connection)` for each connection, in threads of this process."""
    listener = socket.create_server(("127.0.0.1", free_port))

    def start(work):
        def run(connection):
            with connection:
                work(connection)

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=run, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"127.0.0.1:{free_port}"

    yield start
    listener.close()


def test_a_walk_through_the_socket_equals_the_walk_itself(serve, episode):
    address = serve(lambda c: habitat_server.serve(c, StandIn(episode)))
    environments = [
        HabitatEnvironment(address, side_px=16, num_frames=4),
        RoomsEnvironment(side_px=16, num_frames=4),
    ]

    records, seen = [], []
    for environment in environments:
        environment.reset(episode)
        while (action := environment.towards_goal()) is not None:
            last = environment.step(action)[0]
        environment.step(None)
        records.append(navigation_metrics(environment.record()))
        seen.append(last)

    assert records[0] == pytest.approx(records[1])
    assert records[0]["success"] == 1
    assert (seen[0].frames == seen[1].frames).all()
    assert np.allclose(seen[0].panorama.depths_m, seen[1].panorama.depths_m)
    environments[0].close()


def test_actions_are_tried_without_moving(serve, episode):
    address = serve(lambda c: habitat_server.serve(c, StandIn(episode)))
    environment = HabitatEnvironment(address)
    environment.reset(episode)

    options = environment.candidates()
    distances = environment.distances_after(options)

    assert len(distances) == len(options) == 12
    environment.step(options[3])
    assert environment.distance_m == pytest.approx(distances[3])
    environment.close()


def test_a_missing_scene_is_named(serve, episode):
    address = serve(lambda c: habitat_server.serve(c, StandIn(episode)))

    environment = HabitatEnvironment(address)
    with pytest.raises(ConfigError, match=r"scene mp3d/x/x\.glb is missing"):
        environment.reset(replace(episode, scene="mp3d/x/x.glb"))
    environment.close()


def _dies_after(count, episode):
    """Answers so many requests and hangs up."""

    def work(connection):
        stand_in = StandIn(episode)
        with connection:
            for _ in range(count):
                habitat_server.send(
                    connection, *stand_in.answer(habitat_server.receive(connection))
                )
            habitat_server.receive(connection)

    return work


def test_a_server_that_dies_in_mid_episode_is_named(serve, episode):
    environment = HabitatEnvironment(serve(_dies_after(2, episode)))
    environment.reset(episode)
    environment.step(Go(0.1, 0.5))

    with pytest.raises(SimulatorError, match=rf"episode {episode.episode_id}: 'go' failed"):
        environment.step(Go(0.1, 0.5))


def test_a_silent_server_is_given_up(serve, episode):
    def silent(connection):
        while connection.recv(1000):
            pass

    environment = HabitatEnvironment(serve(silent), timeout_s=0.2)

    begun = time.monotonic()
    with pytest.raises(SimulatorError, match=r"no answer to 'reset' in 0\.2 s"):
        environment.reset(episode)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (struct.pack(">I", 2**31) + b"x", "a header of"),
        (struct.pack(">I", 3) + b"[1]", "no JSON object"),
        (struct.pack(">I", 2) + b"{}", "lacks position, heading, distance_m"),
        (struct.pack(">I", 40) + b'{"arrays": [["a", "object", [1, 2, 3]]]}', "type object"),
    ],
)
def test_nonsense_is_named(serve, episode, sent, said):
    environment = HabitatEnvironment(serve(lambda c: c.sendall(sent)))

    with pytest.raises(SimulatorError, match=said):
        environment.reset(episode)


def test_nobody_listening_and_no_address_are_named(free_port, episode):
    with pytest.raises(SimulatorError, match=rf"127\.0\.0\.1:{free_port}.*habitat_server\.py"):
        HabitatEnvironment(f"127.0.0.1:{free_port}").reset(episode)
    with pytest.raises(ConfigError, match="'here' is no address"):
        HabitatEnvironment("here")


def test_the_server_has_a_process_for_each_connection(free_port, episode):
    """And goes on when one of them dies."""
    server = os.fork()
    if server == 0:  # the listener of the script, without Habitat
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        habitat_server.listen(free_port, lambda: StandIn(episode))
    try:
        environments = [HabitatEnvironment(f"127.0.0.1:{free_port}") for _ in range(2)]
        for environment in environments:
            for _ in range(50):
                try:
                    environment.reset(episode)
                    break
                except SimulatorError:
                    time.sleep(0.1)
        environments[0].close()
        environments[1].step(Go(0.1, 0.5))
        assert environments[1].distance_m > 0
        environments[1].close()
    finally:
        os.killpg(server, signal.SIGKILL)
        os.waitpid(server, 0)
