"""Vision-language navigation: worlds, episodes, environments to walk them in, waypoints.

The environment of gymnasium is in `internvideo.navigation.gym`, which needs the extra `nav`.
"""

from internvideo.navigation.environment import (
    MAX_DECISIONS,
    SUCCESS_M,
    Action,
    Environment,
    Go,
    Observation,
    Place,
    Plan,
    no_pictures,
    straight_to,
)
from internvideo.navigation.episodes import NavigationEpisode, read_episodes, write_episodes
from internvideo.navigation.generate import SPLITS, make_episodes
from internvideo.navigation.graph import (
    GraphEnvironment,
    SceneGraphs,
    ViewpointGraph,
    read_graph,
    read_r2r,
)
from internvideo.navigation.habitat import HabitatEnvironment
from internvideo.navigation.instructions import describe_way
from internvideo.navigation.movement import Floor
from internvideo.navigation.render import NUM_VIEWS, Panorama, render_panorama
from internvideo.navigation.rooms import RoomsEnvironment, navigable_points, scene_of
from internvideo.navigation.waypoints import (
    Waypoint,
    decode_waypoints,
    resample_waypoints,
    suppress,
    waypoint_targets,
)
from internvideo.navigation.world import Door, Room, Scene, Thing, make_scene

__all__ = [
    "MAX_DECISIONS",
    "NUM_VIEWS",
    "SPLITS",
    "SUCCESS_M",
    "Action",
    "Door",
    "Environment",
    "Floor",
    "Go",
    "GraphEnvironment",
    "HabitatEnvironment",
    "NavigationEpisode",
    "Observation",
    "Panorama",
    "Place",
    "Plan",
    "Room",
    "RoomsEnvironment",
    "Scene",
    "SceneGraphs",
    "Thing",
    "ViewpointGraph",
    "Waypoint",
    "decode_waypoints",
    "describe_way",
    "make_episodes",
    "make_scene",
    "navigable_points",
    "no_pictures",
    "read_episodes",
    "read_graph",
    "read_r2r",
    "render_panorama",
    "resample_waypoints",
    "scene_of",
    "straight_to",
    "suppress",
    "waypoint_targets",
    "write_episodes",
]
