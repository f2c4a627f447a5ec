"""The HTTP server of an index: REST under /api, described at /api/docs.json, and one page.

Errors are `{"error": "..."}` with status 400 (what was asked), 401, 403, 404, 413 or 422.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from internvideo.errors import InternVideoError
from internvideo.search import Filters, Query
from internvideo.web.guard import Access, guarded
from internvideo.web.service import IndexService
from internvideo.web.uploads import Cleaner, TooLarge, receive

_STATIC = Path(__file__).parent / "static"
_LONGEST_TEXT = 2000

_Text = Annotated[str, Field(max_length=_LONGEST_TEXT)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SearchFilters(_Asked):
    """Which videos are searched; see `internvideo.search.Filters`."""

    folder: _Text | None = None
    longer_than_s: float | None = None
    shorter_than_s: float | None = None
    after: _Text | None = None
    before: _Text | None = None


class SearchRequest(_Asked):
    """Words or a moment, and what to leave out; `example` is the id that an upload was given."""

    text: _Text | None = None
    like: _Text | None = None
    example: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    without: list[_Text] = Field(default_factory=list, max_length=10)
    track: _Text | None = None
    filters: SearchFilters = Field(default_factory=SearchFilters)
    limit: int = Field(default=24, ge=1, le=200)
    per_video: int = Field(default=3, ge=1, le=100)
    least_confidence: float | None = Field(default=None, ge=0, le=1)


class TimelineRequest(SearchRequest):
    """A query, and the video along which it is scored."""

    video: int


class TextsRequest(_Asked):
    """Texts to embed."""

    texts: list[_Text] = Field(min_length=1, max_length=256)


class PredictRequest(_Asked):
    """Labels to choose from, for a moment or an upload."""

    labels: list[_Text] = Field(min_length=1, max_length=1000)
    moment: _Text | None = None
    example: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None


class _Uploads:
    """Clean copies of what was sent, by the id that each was given; the oldest leave."""

    most_kept = 50

    def __init__(self, folder: Path) -> None:
        self.folder, self.cleaner = folder, Cleaner()
        self._kept: dict[str, Path] = {}

    def keep(self, path: Path) -> str:
        name = path.stem.removesuffix("-clean")
        self._kept[name] = path
        while len(self._kept) > self.most_kept:
            self._kept.pop(next(iter(self._kept))).unlink(missing_ok=True)
        return name

    def find(self, name: str) -> Path:
        if name not in self._kept:
            raise _Unknown("this upload is no longer kept; send it again")
        return self._kept[name]


class _Unknown(InternVideoError):
    """What was asked for is not there."""


def create_app(
    service: IndexService, access: Access, *, ready_for_uploads: bool = False
) -> FastAPI:
    """The application that serves one index; `service` is closed with it.

    The process that opens uploads takes seconds to start: `ready_for_uploads` starts it with the
    server and not with the first upload.
    """
    folder = tempfile.TemporaryDirectory(prefix="internvideo-uploads-")
    uploads = _Uploads(Path(folder.name))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        if ready_for_uploads:
            uploads.cleaner.start()
        yield
        uploads.cleaner.close()
        service.close()
        folder.cleanup()

    app = FastAPI(
        title="internvideo",
        summary="Moments of an indexed folder of videos",
        openapi_url="/api/docs.json",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    app.middleware("http")(guarded(access))
    _add_errors(app)
    _add_questions(app, service, uploads)
    _add_files(app, service)
    app.mount("/", StaticFiles(directory=_STATIC, html=True), name="page")
    return app


def _query(asked: SearchRequest, uploads: _Uploads) -> Query:
    return Query(
        text=asked.text,
        like=asked.like,
        example=None if asked.example is None else uploads.find(asked.example),
        without=tuple(asked.without),
        track=asked.track,
        filters=Filters(**asked.filters.model_dump()),
        limit=asked.limit,
        per_video=asked.per_video,
        least_confidence=asked.least_confidence,
    )


def _add_questions(app: FastAPI, service: IndexService, uploads: _Uploads) -> None:
    @app.get("/api/index")
    def facts() -> dict[str, Any]:
        """What is indexed, by which model."""
        return service.facts()

    @app.post("/api/search")
    def search(asked: SearchRequest) -> dict[str, Any]:
        """Moments that answer a question, best first."""
        return service.search(_query(asked, uploads))

    @app.post("/api/timeline")
    def timeline(asked: TimelineRequest) -> list[dict[str, float]]:
        """Scores of a question along one video."""
        return service.timeline(_query(asked, uploads), asked.video)

    @app.post("/api/uploads")
    async def upload(request: Request) -> dict[str, str]:
        """Send a picture or clip as the body; the id that comes back is an `example`."""
        length = request.headers.get("content-length", "")
        announced = int(length) if length.isdecimal() else None
        path = await receive(request.stream(), uploads.folder, announced=announced)
        return {"example": uploads.keep(await run_in_threadpool(uploads.cleaner.cleaned, path))}

    @app.post("/api/encode")
    def encode(asked: TextsRequest) -> dict[str, Any]:
        """Unit vectors of texts, in the space of the index."""
        return {"vectors": service.encode_texts(asked.texts)}

    @app.get("/api/encode/{example}")
    def encode_example(
        example: Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$")],
    ) -> dict[str, Any]:
        """Unit vector of an upload, in the space of the index."""
        return {"vectors": [service.encode_file(uploads.find(example))]}

    @app.post("/api/predict")
    def predict(asked: PredictRequest) -> list[dict[str, Any]]:
        """Labels of a moment or of an upload by cosine, nearest first (zero-shot)."""
        if (asked.moment is None) == (asked.example is None):
            raise InternVideoError("give a moment or an example, one of them")
        if asked.moment is not None:
            vector = service.vector_of(asked.moment)
        else:
            vector = service.encode_file(uploads.find(asked.example or ""))
        return service.predict(vector, asked.labels)


def _add_files(app: FastAPI, service: IndexService) -> None:
    @app.get("/api/moments/{moment}")
    def moment(moment: str) -> dict[str, Any]:
        """The video and the times of a moment, and what tracks say of it."""
        return service.moment(moment)

    @app.get("/api/moments/{moment}/clip")
    def clip(moment: str) -> FileResponse:
        """A moment as a file of its own."""
        cut = service.clip(moment)
        return FileResponse(cut.path, filename=f"moment{cut.path.suffix}")

    @app.get("/api/videos/{number}")
    def video(number: int) -> dict[str, Any]:
        """Facts of a video, and what tracks say of it."""
        return service.video(number)

    @app.get("/api/videos/{number}/file")
    def file(number: int) -> FileResponse:
        """The bytes of a video, by ranges where they are asked for."""
        return FileResponse(service.file(number), content_disposition_type="inline")

    @app.get("/api/thumbnails/{row}")
    def thumbnail(row: int) -> Response:
        """A small JPEG of a window."""
        return Response(
            service.thumbnail(row),
            media_type="image/jpeg",
            headers={"Cache-Control": "private, max-age=3600"},
        )


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(InternVideoError)
    async def told(request: Request, error: InternVideoError) -> JSONResponse:
        status = 413 if isinstance(error, TooLarge) else 404 if isinstance(error, _Unknown) else 400
        return JSONResponse({"error": str(error)}, status_code=status)

    @app.exception_handler(RequestValidationError)
    async def refused(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse({"error": f"{where}: {first['msg']}"}, status_code=422)
