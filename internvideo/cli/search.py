"""`internvideo search`: moments of an index that answer a question."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from internvideo.errors import ConfigError

if TYPE_CHECKING:
    from internvideo.search import Answer, Index, Moment


@dataclass(frozen=True, kw_only=True)
class Search:
    """Find moments in an indexed folder: by words, a picture, a clip, or a moment found before.

    Prints how sure the index is (the share of unrelated questions that it would answer with a
    lower score), the score, file, start, end and id. Where nothing is sure enough it says so.

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
    export: Path | None = None
    """Write the moments as clips into this folder: copied where a key frame allows, else exact."""
    sheet: Path | None = None
    """Write a contact sheet of the moments here, as .jpg or .png."""
    overwrite: bool = False
    """Replace clips and a sheet that are there."""
    engine: Literal["auto", "exact", "faiss", "lance"] = "auto"
    """exact compares all vectors; faiss and lance are for millions; auto takes faiss beyond one."""
    lance_at: str | None = None
    """Folder or address, such as s3://bucket/videos, of the vectors of --engine lance; default in
    the index."""
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
            check_sheet,
            open_search_model,
            open_store,
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
        if self.lance_at is not None and self.engine != "lance":
            raise ConfigError("--lance-at is for --engine lance; give both")
        if self.sheet is not None:
            check_sheet(self.sheet, overwrite=self.overwrite)
        with Index(self.index or the_only_index()) as index:
            searcher = Searcher(
                index,
                lambda: open_search_model(index.settings.model, device=self.device),
                open_store=lambda index: open_store(index, self.engine, address=self.lance_at),
            )
            answer = searcher.search(query)
            self._write(index, answer)
            if self.json:
                print_json(answer.to_json())
            else:
                for line in _lines(answer):
                    print(line)
        return 0

    def _write(self, index: Index, answer: Answer) -> None:
        """Clips and contact sheet, where they are asked for and something was found."""
        from internvideo.search import cut_clip, write_sheet

        if self.sheet is not None and answer.moments:
            write_sheet(index, answer.moments, self.sheet)
            print(f"sheet: {self.sheet}", file=sys.stderr)
        if self.export is None:
            return
        self.export.mkdir(parents=True, exist_ok=True)
        for place, moment in enumerate(answer.moments, 1):
            name = f"{place:02}-{Path(moment.path).stem}-{moment.start_s:.1f}-{moment.end_s:.1f}"
            source = index.file_of(moment.video)
            clip = cut_clip(
                *(source, moment.start_s, moment.end_s, self.export / name),
                overwrite=self.overwrite,
            )
            how = "copied" if clip.is_copy else "exact"
            print(f"clip: {clip.path} ({how})", file=sys.stderr)


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
    if not answer.num_searched:
        yield "nothing to search: the index is empty, or no video passes the filters"
    elif not answer.moments:
        said = f"nothing found in {answer.num_searched} windows"
        if (nearest := answer.best_unsure) is not None:
            said += f"; nearest, with confidence {nearest.confidence:.2f}: {_place(nearest)}"
        yield said
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
