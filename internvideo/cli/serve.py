"""`internvideo serve`: an index in the browser, over REST, and for assistants."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from internvideo.errors import ConfigError

_EXTRA = "it is in the extra {0}: pip install '.[{0}]' from the checkout"


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve an index: a page to search, watch and save moments, and REST beneath it.

    Without further options only this machine can reach it. The page is at the printed address,
    the description of the REST interface at /api/docs.json.

    Example: internvideo serve videos.internvideo
    """

    index: Positional[Path]
    """Folder of the index, as `internvideo index` made it."""
    host: str = "127.0.0.1"
    """Address to listen at; any but the loopback needs a token."""
    port: int = 8000
    """Port to listen at."""
    token: str | None = None
    """What visitors have to bring, 16 characters or more; "new" makes one and prints it."""
    mcp: bool = False
    """Serve assistants over standard input and output (MCP) instead of the page."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def run(self) -> int:
        from internvideo.search import open_search_model
        from internvideo.web.service import IndexService

        def open_model(name: str):
            return open_search_model(name, device=self.device)

        if self.mcp:
            try:
                from internvideo.web.assistants import assistant_server
            except ImportError as error:
                raise ConfigError(f"MCP needs {error.name}; {_EXTRA.format('mcp')}") from error
            service = IndexService(self.index, open_model)
            try:
                assistant_server(service).run()
            finally:
                service.close()
            return 0
        try:
            import uvicorn

            from internvideo.web import Access, create_app
        except ImportError as error:
            raise ConfigError(f"serving needs {error.name}; {_EXTRA.format('serve')}") from error
        token = secrets.token_urlsafe(24) if self.token == "new" else self.token
        access = Access(host=self.host, port=self.port, token=token)
        service = IndexService(self.index, open_model)
        app = create_app(service, access, ready_for_uploads=True)
        shown = f"[{self.host}]" if ":" in self.host else self.host
        address = f"http://{shown}:{self.port}/" + (f"?token={token}" if token else "")
        print(f"{self.index}: open {address} (stop with Ctrl-C)", flush=True)
        server = uvicorn.Server(
            uvicorn.Config(
                app, host=self.host, port=self.port, log_level="warning", server_header=False
            )
        )
        try:
            server.run()
        except SystemExit as error:  # uvicorn's way of saying that the port is taken
            raise ConfigError(
                f"{self.host}:{self.port} cannot be listened at; choose another --port"
            ) from error
        return 0
