"""Where episodes come from and in which world they are walked: houses, scene graphs, Habitat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from internvideo.errors import AnnotationError, ConfigError
from internvideo.navigation import (
    Environment,
    GraphEnvironment,
    HabitatEnvironment,
    NavigationEpisode,
    RoomsEnvironment,
    SceneGraphs,
    make_episodes,
    read_episodes,
    read_r2r,
)
from internvideo.navigation.episodes import load_json

ROOMS = "rooms"  # the source that is drawn and not read


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What episodes are walked in.

    Generated houses, unless `connectivity` names a folder of scene graphs or `habitat` the address
    of a Habitat server.
    """

    connectivity: str | None = None
    habitat: str | None = None

    def __post_init__(self) -> None:
        if self.connectivity is not None and self.habitat is not None:
            raise ConfigError("connectivity and habitat are two worlds; give one of them")

    def episodes(
        self,
        source: str,
        split: str,
        *,
        root: str | None = None,
        count: int | None = None,
        seed: int = 0,
    ) -> tuple[NavigationEpisode, ...]:
        """Read a file of R2R-VLNCE or R2R, or draw episodes in generated houses.

        Args:
            source: `rooms`, or a path in which {split} stands for the split.
            split: Which episodes.
            root: Folder in which the path is looked for first.
            count: How many at most; all of a file, 100 drawn ones by default.
            seed: Of the episodes drawn.

        Raises:
            AnnotationError, ConfigError: There is no such file or split, or it is damaged.
        """
        if count is not None and count < 1:
            raise ConfigError(f"{count} episodes are none; ask for one or more")
        if source == ROOMS:
            if self.connectivity is not None or self.habitat is not None:
                raise ConfigError("episodes of generated houses are walked in these; give a file")
            return make_episodes(split, count or 100, seed=seed)
        path = Path(source.replace("{split}", split))
        path = Path(root) / path if root is not None and (Path(root) / path).exists() else path
        if isinstance(load_json(path), list):
            if self.connectivity is None:
                raise AnnotationError(
                    f"{path}: is a file of R2R, whose paths are viewpoints; name the folder of "
                    "connectivity files with --connectivity"
                )
            found = read_r2r(path, SceneGraphs(self.connectivity))
        else:
            found = read_episodes(path)
        return found[:count]

    def environments(
        self,
        at_once: int,
        *,
        side_px: int | None = None,
        num_frames: int = 0,
        max_decisions: int = 25,
    ) -> list[Environment]:
        """Environments to walk so many episodes at once.

        Raises:
            ConfigError: The agent looks, and this world has no pictures.
        """
        options = {"num_frames": num_frames, "max_decisions": max_decisions}
        if self.habitat is not None:
            address = self.habitat
            return [HabitatEnvironment(address, side_px=side_px, **options) for _ in range(at_once)]
        if self.connectivity is None:
            return [RoomsEnvironment(side_px=side_px, **options) for _ in range(at_once)]
        if side_px is not None:
            raise ConfigError(
                "scene graphs have no pictures, and a trained agent looks; take oracle or random, "
                "or walk in Habitat"
            )
        graphs = SceneGraphs(self.connectivity)
        return [GraphEnvironment(graphs, max_decisions=max_decisions) for _ in range(at_once)]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WorldEpisodes:
    """Episodes with the world to walk them in, `at_once` at a time."""

    world: World
    episodes: Sequence[NavigationEpisode]
    at_once: int = 8
