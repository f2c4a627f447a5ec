#!/usr/bin/env python
"""Habitat 0.1.7 behind a local socket, for `internvideo` in another environment.

    python habitat_server.py --scenes data/scene_datasets --port 7700

Runs where habitat-sim 0.1.7 is installed (Python 3.6 to 3.8, a GPU), with the scenes of
Matterport3D as SCENES/mp3d/SCAN/SCAN.glb. It needs numpy and habitat_sim alone. The messages are
described in `internvideo/navigation/habitat.py`; every connection has a process, and in it a
simulator, of its own. Twelve colour and twelve depth cameras, every 30 degrees counterclockwise,
field of view 90 degrees, 1.25 m above the floor; steps of 0.25 m with sliding, agent radius 0.1 m:
as in the configuration of VLN-CE.
"""

import argparse
import json
import math
import os
import socket
import struct
import sys
import traceback

import numpy as np

NUM_VIEWS, STEP_M, EYE_M, RADIUS_M, HEIGHT_M = 12, 0.25, 1.25, 0.1, 1.5
MOST_REQUEST = 2**20


def receive(connection):
    """The next request, or None where the other side has hung up."""
    head = exactly(connection, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">I", head)
    if length > MOST_REQUEST:
        raise ValueError("a request of %d bytes" % length)
    data = exactly(connection, length)
    return None if data is None else json.loads(data.decode("utf-8"))


def exactly(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            return None
        data += part
    return data


def send(connection, answer, arrays=()):
    """An answer with arrays (name, array) behind its header."""
    answer = dict(answer)
    answer["arrays"] = [[name, str(array.dtype), list(array.shape)] for name, array in arrays]
    header = json.dumps(answer).encode("utf-8")
    parts = [struct.pack(">I", len(header)), header]
    parts += [np.ascontiguousarray(array).tobytes() for _, array in arrays]
    connection.sendall(b"".join(parts))


class Simulator:
    """One agent in one scene; a scene is loaded when an episode asks for it."""

    def __init__(self, scenes):
        self.scenes, self.simulator, self.loaded = scenes, None, None

    def answer(self, request):
        """Answer a request: a JSON object and arrays."""
        what = request.get("do")
        if what == "reset":
            return self.reset(request)
        if self.simulator is None:
            return {"error": "no episode was started"}, ()
        if what == "go":
            return self.go(float(request["angle"]), float(request["distance_m"])), ()
        if what == "look":
            return self.look(request)
        if what == "try":
            moves = [self.after(float(a), float(d)) for a, d in request["moves"]]
            return {"distances_m": moves}, ()
        if what == "follow":
            return self.follow(), ()
        return {"error": "unknown request %r" % (what,)}, ()

    def reset(self, request):
        path = os.path.join(self.scenes, request["scene"])
        if not os.path.isfile(path):
            message = "episode %s: its scene %s is missing below %s"
            return {"error": message % (request["episode_id"], request["scene"], self.scenes)}, ()
        self.load(path, 256)
        self.position = np.array(request["start"], dtype=np.float32)
        if not self.simulator.pathfinder.is_navigable(self.position, 0.5):
            message = "episode %s: starts at %s, where nobody can stand"
            return {"error": message % (request["episode_id"], list(request["start"]))}, ()
        self.heading, self.goal = float(request["heading"]), np.array(request["goal"], np.float32)
        return {
            "position": numbers(self.position),
            "heading": self.heading,
            "distance_m": self.distance(self.position),
        }, ()

    def load(self, path, side_px):
        import habitat_sim

        if self.loaded == (path, side_px):
            return
        if self.simulator is not None:
            self.simulator.close()
        settings = habitat_sim.SimulatorConfiguration()
        settings.scene_id, settings.allow_sliding = path, True
        sensors = []
        for kind, name in (
            (habitat_sim.SensorType.COLOR, "colour"),
            (habitat_sim.SensorType.DEPTH, "depth"),
        ):
            for view in range(NUM_VIEWS):
                sensor = habitat_sim.SensorSpec()
                sensor.uuid, sensor.sensor_type = "%s_%d" % (name, view), kind
                sensor.resolution = [side_px, side_px]
                sensor.position = [0.0, EYE_M, 0.0]
                sensor.orientation = [0.0, view * 2 * math.pi / NUM_VIEWS, 0.0]
                sensor.parameters["hfov"] = "90"
                sensors.append(sensor)
        agent = habitat_sim.agent.AgentConfiguration()
        agent.sensor_specifications, agent.radius, agent.height = sensors, RADIUS_M, HEIGHT_M
        self.simulator = habitat_sim.Simulator(habitat_sim.Configuration(settings, [agent]))
        self.loaded = (path, side_px)

    def look(self, request):
        import quaternion

        side = int(request["side_px"])
        self.load(self.loaded[0], side)
        half = float(request["heading"]) / 2
        state = self.simulator.get_agent(0).get_state()
        state.position = np.array(request["position"], dtype=np.float32)
        state.rotation = quaternion.quaternion(math.cos(half), 0.0, math.sin(half), 0.0)
        state.sensor_states = {}
        self.simulator.get_agent(0).set_state(state)
        seen = self.simulator.get_sensor_observations()
        colours = np.stack([seen["colour_%d" % v][..., :3] for v in range(NUM_VIEWS)])
        depths = np.stack([seen["depth_%d" % v] for v in range(NUM_VIEWS)])
        arrays = [("colours", colours.astype(np.uint8)), ("depths_m", depths.astype(np.float32))]
        return {}, arrays

    def walk(self, angle, distance_m):
        """Positions and collisions of steps from where the agent is; it is not moved."""
        heading, position = self.heading + angle, self.position
        ahead = np.array([-math.sin(heading), 0.0, -math.cos(heading)], np.float32) * STEP_M
        positions, collided = [], []
        for _ in range(int(distance_m / STEP_M + 1e-6)):
            wanted = position + ahead
            reached = np.array(self.simulator.pathfinder.try_step(position, wanted), np.float32)
            collided.append(float(np.linalg.norm(reached - position) + 1e-5 < STEP_M))
            positions.append(reached)
            position = reached
        return positions, collided

    def go(self, angle, distance_m):
        positions, collided = self.walk(angle, distance_m)
        self.heading += angle
        if positions:
            self.position = positions[-1]
        return {
            "positions": [numbers(position) for position in positions],
            "headings": [self.heading] * len(positions),
            "collided": collided,
            "distance_m": self.distance(self.position),
        }

    def after(self, angle, distance_m):
        positions, _ = self.walk(angle, distance_m)
        return self.distance(positions[-1] if positions else self.position)

    def follow(self):
        points = self.path(self.position)
        if points is None or self.distance(self.position) < STEP_M or len(points) < 2:
            return {}
        dx, dz = points[1][0] - self.position[0], points[1][2] - self.position[2]
        steps = max(1, int(round(min(3.0, math.hypot(dx, dz)) / STEP_M)))
        return {"angle": math.atan2(-dx, -dz) - self.heading, "distance_m": steps * STEP_M}

    def path(self, start):
        import habitat_sim

        path = habitat_sim.ShortestPath()
        path.requested_start, path.requested_end = start, self.goal
        return path.points if self.simulator.pathfinder.find_path(path) else None

    def distance(self, start):
        """Geodesic distance to the goal; None where no way leads."""
        points = self.path(start)
        if points is None:
            return None
        legs = [np.linalg.norm(np.subtract(b, a)) for a, b in zip(points, points[1:])]
        return float(sum(legs))


def numbers(values):
    return [float(value) for value in values]


def serve(connection, simulator):
    """Answer requests until the other side hangs up; what goes wrong with one is its answer."""
    with connection:
        while True:
            request = receive(connection)
            if request is None:
                return
            try:
                answer, arrays = simulator.answer(request)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                traceback.print_exc()
                answer, arrays = {"error": "%s: %s" % (type(error).__name__, error)}, ()
            send(connection, answer, arrays)


def listen(port, make_simulator):
    """Accept connections on the loopback interface for ever, a process for each."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            serve(connection, make_simulator())
            os._exit(0)
        connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", required=True, help="folder that scene_ids start from")
    parser.add_argument("--port", type=int, default=7700)
    arguments = parser.parse_args()
    try:
        import habitat_sim  # noqa: F401
    except ImportError:
        sys.exit("habitat_sim is not installed here; this script needs habitat-sim 0.1.7")
    listen(arguments.port, lambda: Simulator(arguments.scenes))


if __name__ == "__main__":
    main()
