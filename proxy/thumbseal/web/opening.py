"""Opening and resuming a thread: pure signing, nothing is stored."""

from collections.abc import Collection, Iterable
from contextlib import suppress

from msgspec import Struct, structs

from thumbseal.bodies import Entrance, Opening
from thumbseal.claims import (
    EVERY_ROLE,
    LEEWAY,
    MAX_USER_BYTES,
    THREAD_LIFE,
    THREAD_RENEWABLE,
    ThreadClaims,
    is_live,
)
from thumbseal.errors import BadRequest, TokenError, Unauthorized
from thumbseal.ids import ThreadId, named_message, named_thread, new_ids
from thumbseal.log.barriers import Barriers
from thumbseal.threads import granted, new_thread
from thumbseal.web.sites import ServedSite


class Opened(Struct, frozen=True):
    """A thread as a page gets it; ``expires`` in ms."""

    id: ThreadId
    token: str
    expires: int


class Blank(Struct, frozen=True):
    """A message id that nobody has used yet, and its token."""

    id: str
    token: str


class Entered(Struct, frozen=True):
    """A thread that a request speaks in; ``fresh`` is what the page's next token is to say, None
    while the one it has will do. ``moved``: it is not the thread that the page's token named.
    ``gone``: that one was erased or closed, so what was meant for it is not recorded anywhere."""

    claims: ThreadClaims
    fresh: ThreadClaims | None
    moved: bool = False
    gone: bool = False

    @property
    def ended(self) -> bool:
        """Whether the page has no thread to go on with."""
        return self.gone and not self.moved


def open_thread(
    site: ServedSite, opening: Opening, barriers: Barriers, now: float, *, backend: bool
) -> ThreadClaims:
    """The claims of the thread that was asked for.

    A page resumes a thread with its token, or names one of its own. Only a backend reaches a
    thread by name alone, vouches for a user and writes every role.

    Raises:
        Unauthorized: a token in the body is not good, or what it names was closed.
        BadRequest: a page vouches for a user, or the user id cannot stand in a token.
    """
    if opening.user is not None:
        _check_user(opening.user, backend=backend)
    resumed = _readable(site, opening.thread, barriers, now)
    if resumed and (opening.id is None or _names(site, opening.id, resumed)):
        if opening.user not in (None, resumed.user):
            raise BadRequest("A thread keeps its user; vouch when you open it.", field="user")
        claims = renewed(resumed, now)
    else:
        earlier = _readable(site, opening.from_, barriers, now) or resumed
        claims = _fresh(site, opening, earlier, now, backend=backend)
    check_barriers(site, claims, barriers)
    return claims


def read_live(site: ServedSite, token: str, barriers: Barriers, now: float) -> ThreadClaims:
    """The claims of a thread token that may record.

    Raises:
        Unauthorized: the token is not good now, or what it names was closed.
    """
    claims = _genuine(site, token)
    _check_live(site, claims, barriers, now)
    return claims


def speak(site: ServedSite, token: str, barriers: Barriers, now: float) -> Entered:
    """The thread of a token that may record, or may not because its thread is gone.

    Raises:
        Unauthorized: the token is not good now, or what it stands on was revoked.
    """
    claims = _genuine(site, token)
    if barriers.closed(site.name, claims.thread):
        return Entered(claims, None, gone=True)
    _check_live(site, claims, barriers, now)
    return Entered(claims, renewal(claims, now))


def enter(site: ServedSite, entrance: Entrance, barriers: Barriers, now: float) -> Entered:
    """A page's thread, whatever has become of its tokens.

    Raises:
        Unauthorized: also somebody new is refused.
    """
    named = Opening(entrance.site, id=entrance.id)
    ways = [structs.replace(named, from_=entrance.from_), named]
    gone = False
    if entrance.thread:
        try:
            entered = speak(site, entrance.thread, barriers, now)
        except Unauthorized:
            ways.insert(0, Opening(entrance.site, thread=entrance.thread))
        else:
            if not entered.gone:
                return entered
            gone = True
    for way in ways:
        with suppress(Unauthorized):
            claims = open_thread(site, way, barriers, now, backend=False)
            return Entered(claims, claims, moved=way.thread is None, gone=gone)
    raise Unauthorized


def renewed(claims: ThreadClaims, now: float) -> ThreadClaims:
    """The same claims with a new life, which ends with the time in which renewing is allowed."""
    issued = int(now)
    last = claims.first_issued + THREAD_RENEWABLE
    return ThreadClaims(
        claims.thread,
        claims.actor,
        claims.user,
        claims.grant,
        issued,
        claims.first_issued,
        min(issued + THREAD_LIFE, last),
    )


def renewal(claims: ThreadClaims, now: float) -> ThreadClaims | None:
    """The claims with a new life, once half of it is over and there is life left to give."""
    left = claims.expires < claims.first_issued + THREAD_RENEWABLE
    return renewed(claims, now) if left and now - claims.issued > THREAD_LIFE / 2 else None


def opened(site: ServedSite, claims: ThreadClaims) -> Opened:
    """The claims, signed."""
    return Opened(claims.thread, site.tokens.mint_thread(claims), claims.expires * 1000)


def blanks(site: ServedSite, claims: ThreadClaims, count: int, now: float) -> list[Blank]:
    """Fresh message tokens for a thread."""
    return _blanks(site, claims, new_ids(count, int(now * 1000)), now)


def bound(
    site: ServedSite, claims: ThreadClaims, refs: Iterable[str], now: float
) -> dict[str, Blank]:
    """A token for each message that a page named by a word of its own."""
    messages = {ref: named_message(claims.thread, ref) for ref in refs}
    tokens = _blanks(site, claims, messages.values(), now)
    return dict(zip(messages, tokens, strict=True))


def _blanks(
    site: ServedSite, claims: ThreadClaims, messages: Collection[str], now: float
) -> list[Blank]:
    if not messages:
        return []
    tokens = site.tokens.blanks(claims.thread, claims.actor, now, messages)
    return [Blank(*pair) for pair in zip(messages, tokens, strict=True)]


def _genuine(site: ServedSite, token: str) -> ThreadClaims:
    """The claims of a thread token of any age."""
    try:
        return site.tokens.read_expired_thread(token)
    except TokenError:
        raise Unauthorized from None


def _check_live(site: ServedSite, claims: ThreadClaims, barriers: Barriers, now: float) -> None:
    if not is_live(claims, now):
        raise Unauthorized
    check_barriers(site, claims, barriers)


def _readable(
    site: ServedSite, token: str | None, barriers: Barriers, now: float
) -> ThreadClaims | None:
    """A token's claims while it may still be renewed."""
    if token is None:
        return None
    claims = _genuine(site, token)
    last = claims.first_issued + THREAD_RENEWABLE + LEEWAY
    if not claims.issued - LEEWAY <= now <= last:
        raise Unauthorized
    check_barriers(site, claims, barriers)
    return claims


def check_barriers(site: ServedSite, claims: ThreadClaims, barriers: Barriers) -> None:
    """Let pass what nobody revoked.

    Raises:
        Unauthorized: a barrier stands before the thread, its actor, its user or the site.
    """
    ids = {"thread": claims.thread, "actor": claims.actor, "user": claims.user}
    if barriers.refuse(site.name, claims.first_issued, **ids):
        raise Unauthorized


def _check_user(user: str, *, backend: bool) -> None:
    if not backend:
        raise BadRequest("Only a backend token vouches for a user.", field="user")
    if len(user.encode()) > MAX_USER_BYTES or "\0" in user:
        text = f"A user id takes at most {MAX_USER_BYTES} bytes of UTF-8 and no U+0000."
        raise BadRequest(text, field="user")


def _names(site: ServedSite, id_: str, claims: ThreadClaims) -> bool:
    return claims.thread in (id_, named_thread(site.name, id_, claims.actor))


def _fresh(
    site: ServedSite, opening: Opening, earlier: ThreadClaims | None, now: float, *, backend: bool
) -> ThreadClaims:
    actor = earlier.actor if earlier is not None and earlier.user is None else None
    grant = EVERY_ROLE if backend else granted(site.policy.browser_roles)
    return new_thread(
        site.name, grant, now, user=opening.user, actor=actor, name=opening.id, backend=backend
    )
