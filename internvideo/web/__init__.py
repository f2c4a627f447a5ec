"""An index served: a page in the browser, REST beneath it, and a server for assistants (MCP)."""

from internvideo.web.app import create_app
from internvideo.web.guard import Access
from internvideo.web.service import IndexService

__all__ = ["Access", "IndexService", "create_app"]
