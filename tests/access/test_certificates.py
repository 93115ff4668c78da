"""Logging in with a client certificate or a pre-shared key."""

import asyncio

import pytest

from telex.server.access.certificates import CertificateWay
from telex.server.access.ways import Admitted, Applicant, Denied


def asked(user_name: str | None, certificate_user: str) -> Admitted | Denied | None:
    applicant = Applicant(user_name=user_name, password=b"whatever", client_id="c", certificate_user=certificate_user)
    return asyncio.run(CertificateWay().check(applicant))


@pytest.mark.parametrize("user_name", [None, "", "ann", "eve"])
def test_who_has_a_certificate_is_whom_it_names(user_name: str | None) -> None:
    assert asked(user_name, "ann") == Admitted(user="ann")


@pytest.mark.parametrize("user_name", [None, "", "ann"])
def test_without_one_others_decide(user_name: str | None) -> None:
    assert asked(user_name, "") is None
