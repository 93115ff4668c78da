"""What a client may think of, sensible or not: for the tests that send whatever comes."""

from hypothesis import strategies as st

from telex.wire.packets import (
    Auth,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)
from telex.wire.properties import Properties


def some_packets() -> st.SearchStrategy[list[Packet]]:
    """Up to a dozen packets, about few topics and with few ids so that they meet."""
    ids = st.integers(1, 3)
    codes = st.sampled_from([0, 0, 0, 0x80])
    filters = st.sampled_from(["a", "a/b", "#", "+/b", "$share/g/a", "$share/g/#", "bad#", "$SYS/#"])
    names = st.sampled_from(["a", "a/b", "$SYS/x", "b"])
    requests = st.builds(
        SubscriptionRequest,
        filters,
        st.integers(0, 2),
        no_local=st.booleans(),
        retain_as_published=st.booleans(),
        retain_handling=st.integers(0, 2),
    )
    properties = st.one_of(
        st.none(),
        st.builds(Properties, message_expiry_interval=st.integers(0, 3), topic_alias=st.one_of(st.none(), ids)),
    )
    packets = st.one_of(
        st.builds(Publish, names, st.sampled_from([b"", b"x"]), properties=properties, retain=st.booleans()),
        st.builds(
            Publish, names, st.just(b"y"), st.integers(1, 2), st.booleans(), st.booleans(), ids, properties=properties
        ),
        st.builds(Subscribe, ids, st.lists(requests, min_size=1, max_size=3)),
        st.builds(Unsubscribe, ids, st.lists(filters, min_size=1, max_size=2)),
        st.builds(PubAck, ids, codes),
        st.builds(PubRec, ids, codes),
        st.builds(PubRel, ids),
        st.builds(PubComp, ids),
        st.just(PingReq()),
        st.sampled_from([Disconnect(), Disconnect(4), PingResp(), Auth(), Connect("again")]),
    )
    return st.lists(packets, max_size=12)
