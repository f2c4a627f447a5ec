"""The index as tools for assistants."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from internvideo.web import IndexService
from tests.unit.search.toys import ColourModel

pytest.importorskip("mcp")


def test_an_assistant_searches_describes_and_cuts(index_folder: Path) -> None:
    from mcp import Client

    from internvideo.web.assistants import assistant_server

    service = IndexService(index_folder, lambda name: ColourModel(name=name))

    async def talk() -> None:
        async with Client(assistant_server(service)) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert tools == {"search_videos", "describe_moment", "export_clip"}

            async def call(name: str, **arguments: object) -> dict:
                result = await client.call_tool(name, arguments)
                return json.loads(result.content[0].text)

            found = await call("search_videos", text="something red")
            moment = found["moments"][0]["id"]
            told = await call("describe_moment", moment=moment)
            assert told["video"]["path"] == "red in the middle.mp4"
            cut = await call("export_clip", moment=moment)
            assert b"ftyp" in Path(cut["path"]).read_bytes()[:16]
            assert (await client.call_tool("describe_moment", {"moment": "none"})).is_error

    try:
        asyncio.run(talk())
    finally:
        service.close()
