"""Who may ask: the same machine, or whoever has the token; no page of another origin.

A browser sends what any page tells it to, also to 127.0.0.1. So requests are refused whose Host is
not one that was announced (which stops names that are bound to 127.0.0.1 later), and those that a
page of another origin makes. The page itself may load nothing from elsewhere.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from internvideo.errors import ConfigError

COOKIE = "internvideo_token"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Where the server listens and what it asks for; any address but the loopback needs a token."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ConfigError(f"port {self.port} does not exist; give 1 to 65535")
        if not is_loopback(self.host) and not self.token:
            raise ConfigError(
                f"{self.host} can be reached from other machines; give a token that visitors need"
            )
        if self.token is not None and len(self.token) < 16:
            raise ConfigError("the token is too short to keep anybody out; give 16 characters")

    @property
    def hosts(self) -> frozenset[str] | None:
        """Values of the header Host that are taken; None for any, where a token decides."""
        if not is_loopback(self.host):
            return None
        names = {self.host, "127.0.0.1", "localhost", "[::1]"}
        return frozenset({f"{name}:{self.port}" for name in names} | names)

    def refusal(self, request: Request) -> str | None:
        """Say why a request is not answered, if it is not."""
        host = request.headers.get("host", "")
        if self.hosts is not None and host not in self.hosts:
            return f"this server is not called {host!r:.80}"
        origin = request.headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return "pages of other origins may not ask"
        site = request.headers.get("sec-fetch-site", "same-origin")
        is_visit = request.method == "GET" and request.url.path == "/"
        if site not in ("same-origin", "none") and not is_visit:
            return "pages of other origins may not ask"
        return None

    def is_allowed(self, request: Request) -> bool:
        """Whether a request brings the token, where one is needed."""
        if self.token is None:
            return True
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return any(
            secrets.compare_digest(brought.encode(), self.token.encode())
            for brought in (bearer, request.cookies.get(COOKIE, ""))
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def guarded(
    access: Access,
) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """The middleware that asks `access` about every request."""

    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response: Response
        if (why := access.refusal(request)) is not None:
            response = JSONResponse({"error": why}, status_code=403)
        elif access.token and request.url.path == "/" and "token" in request.query_params:
            # A link with the token becomes a cookie, so that it leaves the address line.
            response = _with_cookie(access.token, request.query_params["token"])
        elif not access.is_allowed(request):
            response = JSONResponse(
                {"error": "give the token: open the address that the server printed"},
                status_code=401,
            )
        else:
            response = await answer(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return guard


def _with_cookie(token: str, brought: str) -> Response:
    if not secrets.compare_digest(token.encode(), brought.encode()):
        return JSONResponse({"error": "this is not the token"}, status_code=401)
    response = RedirectResponse("/", status_code=303)
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict")
    return response
