"""Logging in with a client certificate, or a pre-shared key: TLS has said who it is.

Knows nothing of certificates: the listener reads the name (``Tls.user_from``, ``Psk.user_from_identity``).
"""

from telex.server.access.ways import Admitted, Applicant, Denied, Way


class CertificateWay(Way):
    """Admits whom TLS names, without a password.

    The name is that of the certificate even if CONNECT has another one, as with Mosquitto's
    ``use_identity_as_username``: what a client says of itself cannot count for more than what its CA says.
    """

    async def check(self, applicant: Applicant) -> Admitted | Denied | None:
        """Admit who has a certificate with a name; the others are not ours to judge."""
        if not applicant.certificate_user:
            return None
        return Admitted(user=applicant.certificate_user)
