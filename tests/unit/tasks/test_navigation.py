"""Navigation: agents, scores of walks, training in the loop's terms, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch

from internvideo.cli import main
from internvideo.data import RunContext, VideoData
from internvideo.errors import CheckpointError, ConfigError, SimulatorError, TrainingError
from internvideo.heads import Navigator, NavigatorConfig
from internvideo.models import MaskedEncoder, MaskedEncoderConfig
from internvideo.models.navigation import BertConfig, HamtConfig, WaypointPredictorConfig
from internvideo.navigation import Go, RoomsEnvironment, make_episodes, write_episodes
from internvideo.recipes import recipe
from internvideo.tasks import EpisodeRequest, Navigating, Navigation, NavigationData
from internvideo.tasks.navigation import (
    METRICS,
    FrozenEncoders,
    NavigationTraining,
    Oracle,
    TrainedAgent,
    World,
    WorldEpisodes,
    candidate_of,
    walk,
)
from internvideo.text import train_tokenizer
from internvideo.tiny import TinyPanoramaConfig
from internvideo.values import Preprocessing, Share, Tubelet

MODEL = NavigatorConfig(
    policy=HamtConfig(
        text=BertConfig(
            vocabulary_size=560,
            context_length=48,
            width=16,
            depth=1,
            num_heads=2,
            hidden=16,
            dropout=0.0,
        ),
        num_cross_layers=1,
        num_panorama_layers=1,
        image_width=8,
        depth_width=2,
        max_steps=4,
        trains_text=True,
        trains_history=True,
    ),
    waypoints=WaypointPredictorConfig(
        features=32, width=16, depth=1, num_heads=2, hidden=16, dropout=0.0
    ),
    depth=None,
    tiny=TinyPanoramaConfig(side_px=16, image_width=8, depth_channels=2, hidden=4),
    context_length=48,
    view_dropout=0.0,
    max_decisions=4,
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def episodes():
    return make_episodes("val_unseen", 4, seed=3, episodes_per_house=4)


@pytest.fixture(scope="module")
def trained(episodes):
    torch.manual_seed(0)
    tokenizer = train_tokenizer([e.instruction for e in episodes], 560)
    return Navigating.of_network(Navigator(MODEL), tokenizer)


def _context(**changes):
    usual = {"seed": 0, "share": Share(), "device": CPU, "folder": Path()}
    return RunContext(**usual | changes)


def test_the_oracle_arrives_and_every_score_is_named(episodes):
    data = WorldEpisodes(world=World(), episodes=episodes, at_once=3)

    result = Navigation().evaluate(Navigation.without_weights["oracle"](), data)

    assert result.scores["success"] == result.scores["oracle_success"] == 1
    assert result.scores["spl"] > 0.95
    assert (result.num_evaluated, result.num_total, result.agent) == (4, 4, "shortest-path oracle")
    named = Navigation.metrics
    assert all(any(fnmatch(score, metric) for metric in named) for score in result.scores)
    assert [row["success"] for row in result.to_json()["episodes"]] == [1, 1, 1, 1]


def test_random_walks_repeat_and_a_trained_agent_walks_alike_alone_and_together(episodes, trained):
    for model in (Navigation.without_weights["random"](), trained):
        paths = []
        for at_once in (1, 4):
            data = WorldEpisodes(world=World(), episodes=episodes, at_once=at_once)
            walked = Navigation().evaluate(model, data).walked
            paths.append([one.record.path for one in walked])
        assert paths[0] == paths[1]


def test_what_is_hidden_changes_nothing_more(episodes, trained):
    """Without the instruction all instructions are alike; without pictures all pictures."""
    other = [replace(e, instruction="Stop.") for e in episodes]
    for hidden, changed in (("nothing", True), ("instruction", False)):
        shares = []
        for these in (episodes, other):
            data = WorldEpisodes(world=World(), episodes=these)
            walked = Navigation(hidden=hidden).evaluate(trained, data).walked
            shares.append([one.decisions[0].choice.shares for one in walked])
        assert (shares[0] != shares[1]) is changed
    agent = trained.agent("pictures")
    agent.begin(episodes[:1])
    seen = agent.look([RoomsEnvironment(side_px=16).reset(episodes[0])[0]])
    assert not seen.image.any() and not seen.depth.any() and seen.waypoint_scores.any()


def test_a_view_belongs_to_the_30_degrees_around_it():
    degrees = [0, 14, 16, -14, -16, 180, -90]

    views = [candidate_of(Go(math.radians(d), 1.0)).view for d in degrees]

    assert views == [0, 0, 1, 0, 11, 6, 9]


def test_a_walk_is_drawn_as_page_and_video(episodes, trained, tmp_path):
    request = EpisodeRequest(
        episode=2, seed=3, page=tmp_path / "new" / "walk.html", drawn=tmp_path / "walk.mp4"
    )

    answer = Navigation().predict(trained, request)

    page = (tmp_path / "new" / "walk.html").read_text()
    assert answer.walked.episode.instruction.split()[0] in page
    assert page.count("<img") == 1 + len(answer.walked.decisions)
    assert "<video" in page and (tmp_path / "walk.mp4").stat().st_size > 1000
    shares = answer.walked.decisions[0].choice
    assert sum(shares.shares) == pytest.approx(1, abs=1e-5)
    assert sum(shares.words) == pytest.approx(1, abs=1e-5)
    assert len(shares.words) == len(answer.walked.episode.instruction.split())
    assert json.dumps(answer.to_json())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scene": "mp3d/a/a.glb"}, "no generated house"),
        ({"start": (0.0, 0.0, 0.0)}, "in or too near a wall"),
    ],
)
def test_an_episode_that_cannot_be_walked_is_a_failure_with_its_name(episodes, change, said):
    broken = replace(episodes[0], episode_id="bad", **change)
    data = WorldEpisodes(world=World(), episodes=[broken, *episodes[1:]])
    oracle = Navigation.without_weights["oracle"]()

    result = Navigation().evaluate(oracle, data)

    assert result.scores["success"] == 0.75
    assert (result.num_evaluated, result.failed[0].path) == (3, "episode bad")
    assert said in result.failed[0].reason
    with pytest.raises(
        TrainingError, match=f"none of 1 episodes can be walked; episode bad: .*{said}"
    ):
        Navigation().evaluate(oracle, replace(data, episodes=[broken]))


def test_goals_without_a_way_leave_every_score_finite(episodes):
    lost = replace(episodes[0], goal=(0.0, 0.0, 0.0))
    data = WorldEpisodes(world=World(), episodes=[lost, episodes[1]])

    scores = Navigation().evaluate(Navigation.without_weights["oracle"](), data).scores

    assert all(map(math.isfinite, scores.values()))
    assert (scores["success"], scores["unreachable"]) == (0.5, 0.5)


class _Dies(RoomsEnvironment):
    def step(self, action):
        raise SimulatorError("the simulator died")

    def towards_goal(self):
        if self.side_px is None and self.episode.episode_id == "3":
            raise SimulatorError("the simulator died")
        return super().towards_goal()


def test_a_simulator_that_dies_costs_its_episode_alone(episodes, trained):
    environments = [RoomsEnvironment(side_px=16), _Dies(side_px=16)]

    walked = walk(trained.agent(), environments, episodes[:2])

    assert [one.failure for one in walked] == ["", "the simulator died"]
    blind = [RoomsEnvironment(side_px=None), RoomsEnvironment(side_px=None), _Dies(side_px=None)]
    walked = walk(Oracle(), blind, episodes[:3])
    assert [bool(one.failure) for one in walked] == [False, False, True]


class _NeverStarts(RoomsEnvironment):
    num_tried = 0

    def reset(self, episode):
        self.num_tried += 1
        raise SimulatorError("no answer")


def test_a_simulator_that_starts_nothing_is_given_up(episodes):
    silent = _NeverStarts()

    walked = walk(Oracle(), [silent], episodes)

    assert silent.num_tried == 3
    assert [one.failure for one in walked[:3]] == ["no answer"] * 3
    assert walked[3].failure == "not tried, for 3 before it failed: no answer"


def test_worlds_read_files_and_refuse_what_does_not_fit(episodes, tmp_path):
    write_episodes(episodes, tmp_path / "val" / "val.json.gz")
    (tmp_path / "R2R.json").write_text("[{}]")
    world = World()

    read = world.episodes("{split}/{split}.json.gz", "val", root=str(tmp_path), count=2)

    assert [e.episode_id for e in read] == ["1", "2"]
    with pytest.raises(ConfigError, match="two worlds"):
        World(connectivity="a", habitat="b:1")
    with pytest.raises(ConfigError, match="walked in these; give a file"):
        World(habitat="b:1").episodes("rooms", "train")
    with pytest.raises(ConfigError, match="0 episodes are none"):
        world.episodes("rooms", "train", count=0)
    with pytest.raises(ConfigError, match="no pictures, and a trained agent looks"):
        World(connectivity=str(tmp_path)).environments(1, side_px=16)
    assert main(["evaluate", "navigation", "oracle", "--data", str(tmp_path / "R2R.json")]) == 2


def test_a_step_of_training_teaches_every_trained_weight(episodes):
    training = NavigationTraining(
        model=MODEL, num_episodes=4, num_eval_episodes=2, vocabulary_size=560, predicted_from=1
    )
    held_back, objective = training.open(
        VideoData(source="rooms", eval_split="val_seen"), _context(), _no
    )
    generator = torch.Generator().manual_seed(0)

    for step in (0, 1):  # the world's candidates, then predicted ones
        losses = objective.losses(held_back[:2], step, generator)
        (losses["action"] + losses["waypoint"]).backward()

    assert all(map(torch.isfinite, losses.values()))
    without = {n for n, p in objective.model.named_parameters() if p.grad is None}
    assert not {n for n in without if "word_embeddings" not in n}
    scores = objective.evaluate()
    assert set(scores) == {*METRICS, "unreachable"}
    assert objective.documents().keys() == {"data", "tokenizer"}


def _no(name):
    raise AssertionError(name)


def test_the_teacher_stops_near_the_goal_and_goes_where_the_rest_is_shortest(episodes):
    training = NavigationTraining(
        model=MODEL, num_episodes=2, num_eval_episodes=1, vocabulary_size=560
    )
    _, objective = training.open(VideoData(source="rooms", eval_split="val_seen"), _context(), _no)
    environment = RoomsEnvironment(side_px=None)
    environment.reset(episodes[0])
    way = environment.towards_goal()
    options = [candidate_of(Go(way.angle + math.pi, 1.0)), candidate_of(way)]

    assert objective._teacher(environment, options) == 1
    environment.reset(replace(episodes[0], start=episodes[0].goal))
    assert objective._teacher(environment, options) == MODEL.max_candidates
    environment.reset(replace(episodes[0], goal=(0.0, 0.0, 0.0)))
    assert objective._teacher(environment, options) == -100
    assert [training.teacher_share_at(step) for step in (0, 1999, 2000, 6000)] == [
        *(0.75, 0.75),
        *(0.75**2, 0.75**4),
    ]


def test_frozen_encoders_are_seen_through_and_checked(episodes):
    encoder = MaskedEncoderConfig(
        num_frames=4,
        side_px=16,
        tubelet=Tubelet(time=2, height=8, width=8),
        width=12,
        depth=1,
        num_heads=2,
    )

    class Found:
        model, kind, classes, tokenizer = MaskedEncoder(encoder), "masked-encoder", (), None
        preprocessing, provenance = Preprocessing(num_frames=4, side_px=16), {}

    config = replace(MODEL, video_encoder="runs/a", video_width=12, num_frames=4)
    frozen = FrozenEncoders(config, lambda name: Found, device=CPU)
    tokenizer = train_tokenizer([e.instruction for e in episodes], 560)
    agent = TrainedAgent(Navigator(config).eval(), tokenizer, frozen)
    environments = World().environments(2, side_px=agent.side_px, num_frames=agent.num_frames)

    walked = walk(agent, environments, episodes[:2])

    assert agent.num_frames == 4 and all(one.record for one in walked)
    frames = torch.randint(0, 255, (1, 4, 12, 16, 16, 3), dtype=torch.uint8)
    found = frozen.views(frames[:, -1], frames)
    clip = (frames[0, :, 5].float() / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    with torch.no_grad():
        alone = Found.model(clip.permute(3, 0, 1, 2)[None]).mean(1)
    torch.testing.assert_close(found[0, 5], alone[0], rtol=1e-4, atol=1e-5)
    wrong = replace(config, video_width=7)
    with pytest.raises(
        ConfigError, match="gives 12 numbers a clip, the navigator is configured for 7"
    ):
        FrozenEncoders(wrong, lambda name: Found, device=CPU).views(frames[:, -1], frames)
    with pytest.raises(ConfigError, match="runs/a: there is no way to open it"):
        FrozenEncoders(config, None, device=CPU)


def test_other_models_and_impossible_settings_are_refused():
    class Other:
        model, kind, config, tokenizer = torch.nn.Linear(1, 1), "video-classifier", None, None
        preprocessing, classes, provenance = None, (), {}

    with pytest.raises(
        CheckpointError, match="x: holds a video-classifier model, which walks nowhere"
    ):
        Navigating.from_pretrained(Other, source="x")
    with pytest.raises(ConfigError, match="one of `depth` and `tiny`"):
        replace(MODEL, tiny=None)
    with pytest.raises(ConfigError, match=r"policy\.depth_width is 3"):
        replace(MODEL, policy=replace(MODEL.policy, depth_width=3))
    with pytest.raises(ConfigError, match=r"text_encoder and policy\.text_features"):
        replace(MODEL, text_encoder="runs/b")
    with pytest.raises(ConfigError, match="9 decisions do not fit"):
        replace(MODEL, max_decisions=9)
    with pytest.raises(ConfigError, match="teacher_share 2"):
        NavigationTraining(model=MODEL, teacher_share=2.0)
    with pytest.raises(ConfigError, match="a random walk reads no words"):
        Navigation.without_weights["random"]().agent("pictures")
    with pytest.raises(ConfigError, match="counted from 1"):
        EpisodeRequest(episode=0)
    with pytest.raises(ConfigError, match="walks nothing"):
        NavigationData(num_at_once=0)


def test_the_released_recipes_have_the_released_sizes():
    base, large = (recipe(f"navigation_vlnce_{size}").stage.model for size in ("base", "large"))

    assert (base.colour_width, large.colour_width) == (1280, 1536)
    assert (base.policy.text.depth, base.policy.num_cross_layers, base.max_decisions) == (9, 4, 25)
    assert base.depth_features == (128, 2048)


@pytest.mark.slow
def test_the_tiny_recipe_trains_evaluates_and_predicts(tmp_path, capsys):
    short = ["training.num_steps=2", "training.optimiser.warmup_steps=1", "training.batch_size=2"]
    short += ["stage.num_episodes=8", "stage.num_eval_episodes=4", "stage.model.max_decisions=3"]
    out = tmp_path / "run"
    settings = [part for one in short for part in ("--set", one)]

    assert main(["train", "navigation_tiny_rooms", "--out", str(out), *settings]) == 0
    capsys.readouterr()
    assert main(["evaluate", "navigation", str(out), "--episodes", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    page, mp4 = tmp_path / "walk.html", tmp_path / "walk.mp4"
    files = ["--page", str(page), "--drawn", str(mp4)]
    assert main(["predict", "navigation", "--model", str(out), "--episode", "2", *files]) == 0

    assert told["num_total"] == 3 and 0 <= told["success"] <= 1
    assert page.exists() and mp4.exists()
