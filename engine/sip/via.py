"""Via on the server side: which transaction a request belongs to, and where its answer goes."""

from __future__ import annotations

from engine.sip.flow import UNKNOWN, Flow
from engine.sip.headers import Via, split_list
from engine.sip.message import Request

_COOKIE = "z9hG4bK"


def server_key(request: Request, flow: Flow, method: str) -> str:
    """What a request of this method, its repeats, its CANCEL and its ACK to a non-2xx have in common (RFC 3261
    17.2.3): of these two, `method` is the INVITE's.

    The trunk it came from is part of it, the host where that has none: who can guess or overhear a Via elsewhere
    neither ends another's INVITE (22.1) nor takes its place beforehand.

    Without the cookie in the branch the peer speaks RFC 2543: From tag, Call-ID, CSeq number and the top Via
    stand for it; To tag and Request-URI are left out, because they differ between an INVITE and its ACK.
    """
    via = request.top_via
    branch = via.params.get("branch", "")
    source = flow.trunk if flow.trunk != UNKNOWN else flow.host
    if branch.startswith(_COOKIE) and len(branch) > 7:
        return f"{branch} {via.host}:{via.port} {source} {method}"
    sent_by = f"{via.host}:{via.port}"
    return f"{request.from_tag} {request.call_id} {request.cseq} {sent_by} {branch} {source} {method}"


def answer_flow(request: Request, flow: Flow, symmetric: bool = False) -> Flow:
    """Where answers to a request that came in on `flow` go (RFC 3261 18.2.2, RFC 3581 4).

    Over UDP the source address counts, and its port where rport asks for it or the trunk is `symmetric`, else
    the port of the Via. Connections answer on themselves; the port of the Via is for when they are gone.
    """
    via = request.top_via
    if flow.transport == "udp" and (symmetric or "rport" in via.params):
        return flow
    port = via.port or 5060
    if port == flow.port:
        return flow
    return Flow(flow.transport, flow.host, port, flow.local, flow.trunk)


def answered_vias(request: Request, flow: Flow) -> str:
    """The Via lines of an answer: as they came, the top one with `received` where its sent-by is not the
    source, and with `rport` filled in where it was asked for (RFC 3261 18.2.1, RFC 3581 4)."""
    lines = request.fields["via"]
    via = request.top_via
    asked = "rport" in via.params
    if not asked and via.host == flow.host:
        if len(lines) == 1:
            return f"Via: {lines[0]}\r\n"
        return "".join([f"Via: {line}\r\n" for line in lines])
    params = dict(via.params)
    params["received"] = flow.host
    if asked:
        params["rport"] = str(flow.port)
    top = str(Via(via.transport, via.host, via.port, params, via.version))
    vias = [top, *split_list(lines[0])[1:], *lines[1:]]
    return "".join([f"Via: {line}\r\n" for line in vias])
