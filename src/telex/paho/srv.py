"""Which brokers DNS names for a domain (RFC 2782).

Knows names and priorities. Connects to nothing.
"""

import random
from typing import Final

_SERVICES: Final = {False: "_mqtt._tcp", True: "_secure-mqtt._tcp"}


def find_brokers(domain: str, *, is_secure: bool) -> list[tuple[str, int]]:
    """Hosts and ports, in the order in which they are to be tried; secure: those that speak TLS.

    Raises:
        ValueError: there are none.
    """
    # Imported here: it takes longer than all the rest of us.
    import dns.exception
    import dns.resolver

    try:
        answer = dns.resolver.resolve(f"{_SERVICES[is_secure]}.{domain}", "SRV")
    except dns.exception.DNSException as error:
        raise ValueError(f"No answer/NXDOMAIN for SRV in {domain}") from error
    records = [
        (record.priority, record.weight, record.target.to_text(omit_final_dot=True), record.port) for record in answer
    ]
    # By priority; of equal ones, those of more weight are the first more often.
    records.sort(key=lambda record: (record[0], -(random.random() ** (1 / max(record[1], 0.01)))))
    return [(host, port) for _, _, host, port in records]
