"""How sure an index is: scores measured by what it says to questions that have no answer in it.

For each of a bank of sentences (and for windows of the index itself, asked about other videos) the
score of the best window is measured in deviations from the median of all windows. A query's own
best is compared with these maxima: the confidence of a score is the share of unrelated questions
whose best would be lower, by a Gumbel distribution fitted to the lower half of the maxima, since
some sentences of the bank may well occur. At 0.8, say, four of five questions about what does not
occur are answered "nothing found".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from internvideo.errors import ConfigError
from internvideo.search.stores import VectorStore

# Of the standard normal: the median of absolute deviations is this share of the deviation.
_MAD_SHARE = 0.6744897501960817
_LEAST_DEVIATION = 1e-4
_NUM_OWN = 64
# Medians and deviations are those of so many rows, evenly chosen.
_NUM_SAMPLED = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """Gumbel distribution of the best of unrelated questions, in deviations from the median."""

    location: float
    scale: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.location) and 0 < self.scale < np.inf):
            raise ConfigError(f"a background at {self.location} of scale {self.scale}")

    def confidence(self, deviations: float) -> float:
        """Share of unrelated questions that have no moment as good as this."""
        return float(np.exp(-np.exp(-(deviations - self.location) / self.scale)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """Where one query's scores lie in an index: median and robust deviation."""

    median: float
    deviation: float

    @classmethod
    def of(cls, scores: Float[np.ndarray, " n"]) -> Level:
        middle = float(np.median(scores))
        spread = float(np.median(np.abs(scores - middle))) / _MAD_SHARE
        return cls(
            median=middle,
            # Of few windows half may be equal.
            deviation=max(spread, 0.1 * float(np.std(scores)), _LEAST_DEVIATION),
        )

    def deviations(self, score: float) -> float:
        return (score - self.median) / self.deviation


def sampled_rows(rows: np.ndarray) -> np.ndarray:
    """Rows for `Level`: all, or evenly chosen ones."""
    if len(rows) <= _NUM_SAMPLED:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _NUM_SAMPLED).astype(np.int64)]


def fit_background(best: Sequence[float]) -> Background:
    """Fit to the maxima of unrelated questions by their lower quartile and median."""
    quarter, half = np.quantile(np.asarray(best, dtype=np.float64), (0.25, 0.5))
    # Quantile p of a Gumbel lies at location - scale * ln(-ln p).
    scale = (half - quarter) / (np.log(-np.log(0.25)) - np.log(-np.log(0.5)))
    scale = max(float(scale), 0.05)
    return Background(location=float(half) + scale * float(np.log(-np.log(0.5))), scale=scale)


def measure_texts(
    store: VectorStore, rows: np.ndarray, texts: Float[np.ndarray, "q e"]
) -> Background:
    """The background of sentences: `texts` are vectors of a bank."""
    vectors = store.vectors(sampled_rows(rows))
    return fit_background([_best(vectors @ text) for text in texts])


def measure_examples(store: VectorStore, rows: np.ndarray, videos: np.ndarray) -> Background:
    """The background of pictures and clips: windows of the index asked about other videos."""
    chosen = sampled_rows(np.arange(len(rows)))
    vectors, videos = store.vectors(rows[chosen]), videos[chosen]
    asked = np.linspace(0, len(chosen) - 1, min(_NUM_OWN, len(chosen))).astype(np.int64)
    best = []
    for place in asked:
        others = videos != videos[place]
        if others.sum() > 1:
            best.append(_best(vectors[others] @ vectors[place]))
    return fit_background(best or [3.0])


def _best(scores: np.ndarray) -> float:
    return Level.of(scores).deviations(float(scores.max()))


# Everyday scenes of every kind: what somebody might ask of any folder.
BANK = tuple(
    """a man rides a horse along a beach
a woman chops onions in a kitchen
children play football in a park
a dog catches a ball on the grass
a cat sleeps on a sofa
an airplane takes off from a runway
a train arrives at a station
waves break on rocks at sunset
a person types on a laptop
a surgeon works in an operating room
a chef flips a pancake
a car drives through the desert
a boat crosses a lake
a bride and a groom dance
people clap in a concert hall
a guitarist plays on a stage
a snowboarder jumps over a ramp
a swimmer dives into a pool
a baby takes its first steps
a farmer drives a tractor
a bird feeds its young in a nest
fish swim around a coral reef
a skyscraper at night with city lights
heavy rain falls on a street
snow covers a mountain village
a mechanic repairs an engine
a painter paints a portrait
a teacher writes on a blackboard
two boxers fight in a ring
a gymnast swings on the high bar
a woman puts on lipstick
a man shaves in front of a mirror
someone pours coffee into a cup
someone opens a door and leaves the room
a crowd protests with banners
a politician speaks at a lectern
a news presenter reads the news
a cartoon character laughs
a robot arm welds metal
a rocket launches into space
an elephant drinks at a water hole
a lion chases an antelope
bees fly around a hive
a flower opens in time lapse
clouds move quickly over hills
a volcano erupts at night
a fire fighter sprays water
a police car with flashing lights
a cyclist climbs a mountain road
a skateboarder falls down stairs
a tennis player serves
a basketball goes through the hoop
a golfer hits from the sand
a chess player moves a piece
a magician shows a card trick
a ballerina turns on her toes
a choir sings in a church
a drummer plays a solo
an orchestra with a conductor
a tailor sews a shirt
a potter shapes a bowl
a blacksmith hammers iron
a carpenter saws a board
a crane lifts a container
a supermarket cashier scans food
a family eats dinner at a table
friends toast with wine glasses
a birthday cake with candles
a man carries a suitcase through an airport
a woman waits at a bus stop
passengers sit in the underground
a helicopter lands on a roof
a hot-air balloon rises
a kite flies over the sea
a spider builds its web
a horse jumps over a fence
sheep run across a field
penguins walk on ice
a bear catches a fish in a river
a monkey eats a banana
a page of printed text
a map of a country
a bar chart with numbers
a computer game with spaceships
a screen recording of a web site
a close-up of an eye
hands knead dough
feet walk through mud
an empty corridor
a dark room with a candle
fireworks over a river
a carousel turns at a fair
a roller coaster goes through a loop
a soldier salutes
an astronaut floats in a station
a diver meets a shark
a scientist looks into a microscope
a nurse gives an injection
a yoga class stretches
a weightlifter lifts a bar""".splitlines()
)
