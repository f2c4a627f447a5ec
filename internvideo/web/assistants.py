"""A server for assistants (Model Context Protocol): an index as three tools.

Source: modelcontextprotocol.io, by its own Python package (extra `mcp`).
"""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer

from internvideo.search import Filters, Query
from internvideo.web.service import IndexService


def assistant_server(service: IndexService) -> MCPServer:
    """The server; `run()` speaks over standard input and output."""
    facts = service.facts()
    server = MCPServer(
        "internvideo",
        instructions=(
            f"Finds moments in {facts['num_videos']} videos ({facts['hours']:.1f} hours) by what "
            "is seen in them. An empty answer means that nothing is sure enough."
        ),
    )

    @server.tool()
    def search_videos(
        text: str, folder: str | None = None, without: list[str] | None = None, limit: int = 5
    ) -> dict[str, Any]:
        """Find moments that show what the text says, best first.

        Args:
            text: What is to be seen, as a sentence.
            folder: Only videos below this folder.
            without: What should not be seen.
            limit: Most moments, 1 to 50.
        """
        query = Query(
            text=text,
            without=tuple(without or ()),
            filters=Filters(folder=folder),
            limit=min(limit, 50),
        )
        return service.search(query)

    @server.tool()
    def describe_moment(moment: str) -> dict[str, Any]:
        """Tell the video, the times and the known names of a moment.

        Args:
            moment: An id as search_videos gives it, or FILE@START-END.
        """
        return service.moment(moment)

    @server.tool()
    def export_clip(moment: str) -> dict[str, Any]:
        """Cut a moment out into a file of its own, and give its place.

        Args:
            moment: An id as search_videos gives it, or FILE@START-END.
        """
        cut = service.clip(moment)
        return {"path": str(cut.path), "start_s": cut.start_s, "end_s": cut.end_s}

    return server
