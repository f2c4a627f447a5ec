"""Walking episodes: the oracle arrives, scores of a reference path, and what is refused."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.metrics import Episode, navigation_metrics
from internvideo.navigation import Go, RoomsEnvironment, make_episodes


@pytest.fixture(scope="module")
def episodes():
    return make_episodes("val_unseen", 8, seed=2, episodes_per_house=4)


def _walk(environment, episode, act):
    environment.reset(episode)
    over = False
    while not over:
        _, _, terminated, truncated, _ = environment.step(act(environment))
        over = terminated or truncated
    return environment.record()


def test_the_oracle_always_arrives(episodes):
    environment = RoomsEnvironment(side_px=None)

    scores = [
        navigation_metrics(_walk(environment, e, RoomsEnvironment.towards_goal)) for e in episodes
    ]

    assert np.mean([s["success"] for s in scores]) == 1
    assert np.mean([s["spl"] for s in scores]) > 0.97
    assert np.mean([s["ndtw"] for s in scores]) > 0.95


def test_the_reference_itself_scores_one(episodes):
    for episode in episodes:
        walked = Episode(
            path=episode.locations,
            reference_path=episode.locations,
            distances_m=[episode.distance_m, 0.0],
            stopped=True,
            num_decisions=1,
        )
        scores = navigation_metrics(walked)
        assert scores["success"] == scores["ndtw"] == 1
        assert scores["spl"] == pytest.approx(1, abs=0.02)


def test_same_episode_same_observations_to_the_bit(episodes):
    first, second = RoomsEnvironment(), RoomsEnvironment()

    for environment in (first, second):
        environment.reset(episodes[0])
    seen = [environment.step(Go(0.5, 1.0))[0] for environment in (first, second)]

    assert (seen[0].panorama.colours == seen[1].panorama.colours).all()
    assert (seen[0].panorama.depths_m == seen[1].panorama.depths_m).all()
    assert seen[0].panorama.colours.shape == (12, 32, 32, 3)
    assert seen[0].instruction == episodes[0].instruction


def test_a_straight_walk_is_that_of_its_steps(episodes):
    environment = RoomsEnvironment(side_px=None)
    num_straight = 0
    for episode, turn in itertools.product(episodes, range(12)):
        environment.reset(episode)
        go, (x, _, z) = Go(turn * math.tau / 12 + 0.1, 1.5), episode.start
        stepped, met = [], []
        for _ in range(go.num_steps):
            x, z, collided = environment.floor.step(x, z, episode.heading + go.angle)
            stepped.append((x, 0.0, z))
            met.append(float(collided))

        environment.step(go)

        record = environment.record()
        assert record.collided == met
        np.testing.assert_allclose(record.path[1:], stepped, atol=1e-9)
        num_straight += not any(met)
    assert 0 < num_straight < len(episodes) * 12


def test_an_episode_ends_after_so_many_decisions_as_if_stopped(episodes):
    environment = RoomsEnvironment(side_px=None, max_decisions=3)

    record = _walk(environment, episodes[0], lambda _: Go(0.1, 0.25))

    assert (record.num_decisions, record.stopped) == (3, True)
    with pytest.raises(ConfigError, match="the episode is over"):
        environment.step(None)


def test_what_cannot_be_walked_is_refused(episodes):
    environment = RoomsEnvironment(side_px=None)

    with pytest.raises(ConfigError, match=r"starts at x 0\.00 m, z 0\.00 m"):
        environment.reset(replace(episodes[0], start=(0.0, 0.0, 0.0)))
    with pytest.raises(ConfigError, match="is no generated house"):
        environment.reset(replace(episodes[0], scene="mp3d/abc/abc.glb"))
    with pytest.raises(ConfigError, match="max_decisions 0"):
        RoomsEnvironment(max_decisions=0)


def test_an_unreachable_goal_gives_finite_scores(episodes):
    environment = RoomsEnvironment(side_px=None)

    record = _walk(environment, replace(episodes[0], goal=(0.0, 0.0, 0.0)), lambda _: None)

    scores = navigation_metrics(record)
    assert (scores["success"], scores["spl"]) == (0, 0)
    assert np.isfinite([v for k, v in scores.items() if k != "distance_to_goal"]).all()
