"""The environment of gymnasium keeps gymnasium's own rules."""

from __future__ import annotations

import builtins
import importlib
import sys
import warnings

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.navigation import make_episodes

gymnasium = pytest.importorskip("gymnasium", reason="the extra nav is not installed")


@pytest.fixture(scope="module")
def environment():
    from internvideo.navigation.gym import RoomsGym

    return RoomsGym(make_episodes("train", 4, episodes_per_house=4), side_px=16, max_decisions=3)


def test_it_keeps_the_rules_of_gymnasium(environment):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints about spaces of actions that are not scaled
        check_env(environment, skip_render_check=True)


def test_the_same_seed_gives_the_same_episode(environment):
    first, _ = environment.reset(seed=3)
    second, _ = environment.reset(seed=3)

    assert first["instruction"] == second["instruction"]
    assert (first["colours"] == second["colours"]).all()
    assert environment.observation_space.contains(first)


def test_an_episode_is_walked_and_drawn(environment):
    environment.reset(options={"episode": 1})
    over = False
    while not over:
        action = {"stop": 0, "angle": np.float32(0.5), "distance_m": np.float32(1.0)}
        _, _, terminated, over, facts = environment.step(action)

    assert not terminated and facts["distance_m"] > 0
    assert environment.render().shape == (16, 12 * 16, 3)
    with pytest.raises(ConfigError, match="episode 9 of 4"):
        environment.reset(options={"episode": 9})


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **more):
        if name == "gymnasium":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "internvideo.navigation.gym", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"pip install 'internvideo\[nav\]'"):
        importlib.import_module("internvideo.navigation.gym")
