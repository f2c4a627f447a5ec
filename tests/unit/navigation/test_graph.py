"""Scene graphs: small files of the published format, real ones, walks on them, damaged files."""

from __future__ import annotations

import json
import math

import pytest

from internvideo.errors import AnnotationError, ConfigError
from internvideo.metrics import navigation_metrics
from internvideo.navigation import Go, GraphEnvironment, SceneGraphs, read_graph, read_r2r

# A square of 4 m with one side missing, a viewpoint that is left out and one that nobody reaches.
NODES = {"a": (0, 0), "b": (4, 0), "c": (4, 4), "d": (0, 4), "alone": (20, 20), "out": (2, 2)}
EDGES = {("a", "b"), ("b", "c"), ("c", "d")}


def write_scene(folder, *, change=lambda document: None):
    document = []
    for name, (x, y) in NODES.items():
        pose = [0.0] * 16
        pose[3], pose[7], pose[11] = float(x), float(y), 1.5
        is_open = [(name, o) in EDGES or (o, name) in EDGES for o in NODES]
        document.append(
            {
                "image_id": name,
                "pose": pose,
                "included": name != "out",
                "visible": is_open,
                "unobstructed": is_open,
                "height": 1.5,
            }
        )
    change(document)
    path = folder / "scan_connectivity.json"
    path.write_text(json.dumps(document))
    return path


def write_r2r(folder, *, path=("a", "b", "c", "d"), **changes):
    entry = {
        "scan": "scan",
        "path_id": 7,
        "path": list(path),
        "heading": math.pi / 2,  # clockwise from +y: towards +x
        "distance": 12.0,
        "instructions": ["Go round.", "Walk on."],
    }
    file = folder / "R2R_val.json"
    file.write_text(json.dumps([entry | changes]))
    return file


@pytest.fixture
def graphs(tmp_path):
    write_scene(tmp_path)
    return SceneGraphs(tmp_path)


def test_positions_are_turned_so_that_y_goes_up(graphs):
    graph = graphs.graph("mp3d/scan/scan.glb")

    assert graph.positions["c"] == (4, 0, -4)
    assert graph.neighbours["b"] == ("a", "c")
    assert "out" not in graph.positions
    assert graph.distances_to("a") == {"a": 0, "b": 4, "c": 8, "d": 12}


def test_the_oracle_walks_the_reference_and_scores_one(graphs, tmp_path):
    episodes = read_r2r(write_r2r(tmp_path), graphs)
    environment = GraphEnvironment(graphs)

    assert [e.episode_id for e in episodes] == ["7_0", "7_1"]
    environment.reset(episodes[0])
    assert environment.candidates() == [pytest.approx(Go(0.0, 4.0))]  # b lies straight ahead
    while (action := environment.towards_goal()) is not None:
        environment.step(action)
    environment.step(None)

    scores = navigation_metrics(environment.record())
    assert scores["success"] == scores["spl"] == 1
    assert scores["ndtw"] == pytest.approx(1, abs=1e-6)
    assert (scores["path_length"], scores["steps_taken"]) == (12, 4)


def test_a_goal_without_a_way_gives_finite_scores(graphs, tmp_path):
    (episode, _) = read_r2r(write_r2r(tmp_path, path=("a", "alone")), graphs)
    environment = GraphEnvironment(graphs)

    _, facts = environment.reset(episode)

    assert facts["distance_m"] == math.inf
    assert environment.towards_goal() is None
    environment.step(None)
    scores = navigation_metrics(environment.record())
    assert scores["success"] == scores["spl"] == 0
    assert all(math.isfinite(v) for k, v in scores.items() if k != "distance_to_goal")


def test_a_viewpoint_without_edges_stays_where_it_is(graphs, tmp_path):
    (episode, _) = read_r2r(write_r2r(tmp_path, path=("alone", "a")), graphs)
    environment = GraphEnvironment(graphs)
    environment.reset(episode)

    _, reward, _, _, _ = environment.step(Go(0.3, 1.0))

    assert (reward, environment.place.position) == (0, (20, 0, -20))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d[0].pop("pose"), "KeyError: 'pose'"),
        (lambda d: d[0]["unobstructed"].pop(), "ValueError"),
        (lambda d: [n.update(included=False) for n in d], "no viewpoint that is included"),
    ],
)
def test_a_damaged_scene_is_named(tmp_path, change, said):
    with pytest.raises(AnnotationError, match=rf"scan_connectivity\.json.*{said}"):
        read_graph(write_scene(tmp_path, change=change))


def test_what_cannot_be_walked_is_named(graphs, tmp_path):
    with pytest.raises(AnnotationError, match=r"R2R_val\.json: entry 7: KeyError: 'nowhere'"):
        read_r2r(write_r2r(tmp_path, path=("a", "nowhere")), graphs)
    with pytest.raises(AnnotationError, match="its path has no goal"):
        read_r2r(write_r2r(tmp_path, path=("a",)), graphs)
    with pytest.raises(AnnotationError, match="the connectivity of none of its scenes"):
        read_r2r(write_r2r(tmp_path, scan="other"), graphs)
    with pytest.raises(ConfigError, match=r"has no other_connectivity\.json"):
        graphs.graph("other")
    with pytest.raises(ConfigError, match="no such folder of connectivity"):
        SceneGraphs(tmp_path / "none")


def test_real_scenes_are_walked_to_the_goal(real_annotations):
    graphs = SceneGraphs(real_annotations / "r2r/connectivity")
    episodes = read_r2r(real_annotations / "r2r/R2R_val_seen.json", graphs)
    environment = GraphEnvironment(graphs)

    assert len(episodes) == 169
    for episode in episodes[::17]:
        environment.reset(episode)
        # R2R measures between cameras, we along the floor.
        assert environment.distance_m == pytest.approx(episode.distance_m, rel=0.05)
        while (action := environment.towards_goal()) is not None:
            environment.step(action)
        assert environment.distance_m == 0
