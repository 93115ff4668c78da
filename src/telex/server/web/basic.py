"""HTTP Basic (RFC 7617)."""

from base64 import b64decode

from aiohttp import web


def credentials(request: web.BaseRequest) -> tuple[str | None, bytes | None]:
    """User name and password, if the request has any."""
    scheme, _, code = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        user, _, password = b64decode(code.strip(), validate=True).partition(b":")
        return user.decode(), password
    except ValueError:
        return None, None
