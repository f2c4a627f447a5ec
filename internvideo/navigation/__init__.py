"""Vision-language navigation: generated houses, episodes, an environment, waypoints."""

from internvideo.navigation.environment import (
    Action,
    Go,
    Observation,
    RoomsEnvironment,
    make_episodes,
    scene_of,
    teacher_action,
)
from internvideo.navigation.episodes import NavigationEpisode, read_episodes, write_episodes
from internvideo.navigation.instructions import describe_way
from internvideo.navigation.movement import Floor, Moved
from internvideo.navigation.render import Panorama, render_panorama
from internvideo.navigation.waypoints import Waypoint, decode_waypoints, suppress
from internvideo.navigation.world import Door, Room, Scene, Thing, make_scene

__all__ = [
    "Action",
    "Door",
    "Floor",
    "Go",
    "Moved",
    "NavigationEpisode",
    "Observation",
    "Panorama",
    "Room",
    "RoomsEnvironment",
    "Scene",
    "Thing",
    "Waypoint",
    "decode_waypoints",
    "describe_way",
    "make_episodes",
    "make_scene",
    "read_episodes",
    "render_panorama",
    "scene_of",
    "suppress",
    "teacher_action",
    "write_episodes",
]
