"""What every way of logging in offers: a password file, a token, a web service, a class of the user's own."""

from msgspec import Struct

from telex.server.config import Rule


class Applicant(Struct, frozen=True, kw_only=True):
    """Who asks to come in."""

    user_name: str | None  # None: CONNECT has none
    password: bytes | None
    client_id: str  # empty: it has none yet
    host: str = ""  # its IP address; empty: it came by a Unix socket
    address: str = ""  # the same with its port, for people
    listener: str = ""
    certificate_user: str = ""  # whom its TLS certificate or its PSK names

    def __repr__(self) -> str:
        return f"<Applicant {self.user_name!r} of {self.address}>"  # a plugin may write it down: without its password


class Admitted(Struct, frozen=True, kw_only=True):
    """It may come in."""

    user: str  # who it is; empty: nobody in particular
    groups: tuple[str, ...] = ()
    rules: tuple[Rule, ...] | None = None  # in place of the broker's own; None: those
    expires_at: float | None = None  # seconds since 1970, when it has to go
    credential: str = ""  # what it was admitted with, for ``Way.still_admits``; never a secret itself


class Denied(Struct, frozen=True, kw_only=True):
    """It may not come in, whatever others say."""

    reason: str  # for our log
    is_guess: bool = True  # counts as a failed login, which may lead to a ban
    tried: str = ""  # whose name it tried, if CONNECT does not say it


class Way:
    """One way of logging in."""

    async def open(self) -> None:
        """Get ready. A ValueError or an OSError says why that is impossible."""

    async def close(self) -> None:
        """Let go of everything."""

    async def check(self, applicant: Applicant) -> Admitted | Denied | None:
        """Whether an applicant may come in. None: that is for others to say."""
        raise NotImplementedError

    def still_admits(self, admitted: Admitted) -> bool:
        """Whether who was admitted before a reload would be now; asked of the way that took its place."""
        return True
