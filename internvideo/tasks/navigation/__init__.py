"""Vision-language navigation: agents, walks and their scores, and how a navigator is trained."""

from internvideo.tasks.navigation.agent import (
    Agent,
    Candidate,
    Choice,
    Oracle,
    RandomWalk,
    TrainedAgent,
    candidate_of,
)
from internvideo.tasks.navigation.frozen import FrozenEncoders
from internvideo.tasks.navigation.result import NavigationResult
from internvideo.tasks.navigation.task import (
    EpisodeRequest,
    Navigating,
    Navigation,
    NavigationData,
)
from internvideo.tasks.navigation.training import NavigationTraining
from internvideo.tasks.navigation.walking import METRICS, WalkedEpisode, walk
from internvideo.tasks.navigation.worlds import World, WorldEpisodes

__all__ = [
    "METRICS",
    "Agent",
    "Candidate",
    "Choice",
    "EpisodeRequest",
    "FrozenEncoders",
    "Navigating",
    "Navigation",
    "NavigationData",
    "NavigationResult",
    "NavigationTraining",
    "Oracle",
    "RandomWalk",
    "TrainedAgent",
    "WalkedEpisode",
    "World",
    "WorldEpisodes",
    "candidate_of",
    "walk",
]
