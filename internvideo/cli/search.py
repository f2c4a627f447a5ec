"""`internvideo search`: moments of an index that answer a question."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from internvideo.errors import ConfigError

if TYPE_CHECKING:
    from internvideo.search import Answer, Moment


@dataclass(frozen=True, kw_only=True)
class Search:
    """Find moments in an indexed folder: by words, a picture, a clip, or a moment found before.

    Prints file, start, end, the score and how sure the index is: the share of unrelated questions
    that it would answer with a lower score. Where nothing is sure enough it says so and exits
    with 1.

    Example: internvideo search "a dog jumps into water" --index videos.internvideo
    """

    text: Positional[str | None] = None
    """Words that describe the moment."""
    index: Path | None = None
    """Folder of the index; default the only *.internvideo in the working folder."""
    without: Annotated[UseAppendAction[tuple[str, ...]], arg(name="not")] = ()
    """Words for what should not be there; may be given several times."""
    example: Path | None = None
    """A picture or clip to search by instead of words."""
    like: str | None = None
    """A moment of the index to search by: its id, or FILE@START-END."""
    track: str | None = None
    """Search the names of this track of the index instead of the pictures."""
    folder: str | None = None
    """Only videos below this folder, relative to the indexed one."""
    longer_than_s: float | None = None
    """Only videos longer than this."""
    shorter_than_s: float | None = None
    """Only videos shorter than this."""
    after: str | None = None
    """Only files changed on this day or later, as 2026-11-30."""
    before: str | None = None
    """Only files changed before this day."""
    limit: int = 10
    """Most moments to show."""
    per_video: int = 3
    """Most moments of one video."""
    sure: float | None = None
    """Least confidence, 0 to 1; default 0.8 for words, 0 (whatever is nearest) for examples."""
    duplicates: float = 0.98
    """Cosine from which two moments count as one; above 1 shows all."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.search import (
            Filters,
            Index,
            Query,
            Searcher,
            open_search_model,
        )

        query = Query(
            text=self.text,
            example=self.example,
            like=self.like,
            without=self.without,
            track=self.track,
            filters=Filters(
                folder=self.folder,
                longer_than_s=self.longer_than_s,
                shorter_than_s=self.shorter_than_s,
                after=self.after,
                before=self.before,
            ),
            limit=self.limit,
            per_video=self.per_video,
            least_confidence=self.sure,
            duplicates=self.duplicates,
        )
        with Index(self.index or the_only_index()) as index:
            searcher = Searcher(
                index, lambda: open_search_model(index.settings.model, device=self.device)
            )
            answer = searcher.search(query)
            if self.json:
                print_json(answer.to_json())
            else:
                for line in _lines(answer):
                    print(line)
        return 0 if answer.moments else 1


def the_only_index() -> Path:
    """The index in the working folder; raises `ConfigError` where there is none or several."""
    from internvideo.search import SUFFIX

    found = sorted(path for path in Path().glob(f"*{SUFFIX}") if path.is_dir())
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} indexes ({', '.join(map(str, found))})" if found else "no index"
    raise ConfigError(f"there is {what} in this folder; name one with --index")


def _lines(answer: Answer):
    for moment in answer.moments:
        yield _line(moment)
        yield from (f"{'':>8}also {_place(same)}" for same in moment.same)
    if not answer.moments:
        nearest = answer.best_unsure
        said = (
            f"; nearest, with confidence {nearest.confidence:.2f}: {_place(nearest)}"
            * bool(nearest)
            if nearest
            else ""
        )
        yield f"nothing found in {answer.num_searched} windows{said}"
    yield from answer.notes


def _line(moment: Moment) -> str:
    name = f"  {moment.name}" if moment.name else ""
    return f"{moment.confidence:.2f}  {moment.score:+.3f}  {_place(moment)}{name}  [{moment.id}]"


def _place(moment: Moment) -> str:
    return f"{moment.path}  {clock(moment.start_s)}-{clock(moment.end_s)}"


def clock(seconds: float) -> str:
    """Seconds as 1:02:03.4, without leading zeros."""
    tenths = round(seconds * 10)
    hours, minutes, rest = tenths // 36000, tenths // 600 % 60, tenths % 600
    lead = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{lead}:{rest // 10:02}.{rest % 10}"
