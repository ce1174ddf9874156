"""New threads: whose they are, and what their tokens may write. Pure, for server and application
alike, so that both name the same thread and the same person by the same words."""

from collections.abc import Iterable

from thumbseal.claims import ROLES, THREAD_LIFE, Grant, ThreadClaims
from thumbseal.ids import ActorId, Role, ThreadId, actor_of, named_thread, new_id


def new_thread(
    site: str,
    grant: Grant,
    now: float,
    *,
    user: str | None,
    actor: ActorId | None,
    name: str | None,
    backend: bool,
) -> ThreadClaims:
    """The claims of a thread that begins, or that a backend goes on with by its ``name``.

    It belongs to the vouched ``user``, else to ``actor``, else to somebody new. A browser's name
    holds for its own actor only. ``now`` is in epoch seconds.
    """
    ms, issued = int(now * 1000), int(now)
    who = actor_of(site, user) if user is not None else actor or ActorId(new_id(ms))
    if name is None:
        thread = ThreadId(new_id(ms))
    else:
        thread = named_thread(site, name, None if backend else who)
    return ThreadClaims(thread, who, user, grant, issued, issued, issued + THREAD_LIFE)


def granted(roles: Iterable[Role]) -> Grant:
    """The grant to write these roles."""
    grant = Grant(0)
    for role in roles:
        grant |= ROLES[role]
    return grant
