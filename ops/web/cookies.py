"""Cookies: their names, and the attributes that every one of them has."""

from aiohttp import web


class Cookies:
    """``secure`` says whether the site is served by https."""

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure

    def name(self, name: str) -> str:
        """Return the full name. With ``__Host-`` browsers take it only from this host, over https, for every path."""
        return f"__Host-{name}" if self._secure else name

    def all(self, request: web.Request) -> dict[str, str]:
        """Return the cookies that can be ours, oldest first, as browsers send them (RFC 6265 5.4)."""
        return {name: value for name, value in request.cookies.items() if value.isascii()}

    def get(self, request: web.Request, name: str) -> str:
        """Return the value of one cookie; empty if there is none."""
        return self.all(request).get(self.name(name), "")

    def set(self, response: web.Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            self.name(name), value, max_age=seconds, httponly=True, secure=self._secure, samesite="Lax", path="/"
        )

    def delete(self, response: web.Response, name: str) -> None:
        response.del_cookie(self.name(name), path="/", secure=self._secure, httponly=True, samesite="Lax")
