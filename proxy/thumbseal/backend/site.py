"""A site as its application's backend knows it: tokens are made and read here, without a network.

The keys are the application's (`thumbseal keys app`): they make thread and message tokens, and can
make neither backend tokens nor sessions of people. What was closed or revoked on the server is not
known here; the server refuses it when it comes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Self

from thumbseal.claims import EVERY_ROLE, THREAD_LIFE, Grant, ThreadClaims
from thumbseal.environment import ENVIRONMENT
from thumbseal.errors import SettingsError
from thumbseal.ids import ActorId, MessageId, Role, ThreadId
from thumbseal.keys import Keys
from thumbseal.threads import granted, new_thread
from thumbseal.tokens import Tokens

HEADER: Final = "x-thumbseal-message"
SITE: Final = "THUMBSEAL_SITE"
KEY: Final = "THUMBSEAL_APP_KEY"

#: What a page may write where the site's settings say nothing else.
PAGE_ROLES: Final[tuple[Role, ...]] = ("user", "assistant", "tool")


class Message(NamedTuple):
    """A message that this site signed. ``token`` is what the page votes with: a secret of its
    reader, which ``repr`` leaves out."""

    id: MessageId
    thread: ThreadId
    actor: ActorId
    token: str

    @property
    def trace_id(self) -> str:
        """The id as a W3C trace id: 32 hex digits."""
        return self.id.replace("-", "")

    def __repr__(self) -> str:
        return f"Message(id={self.id!r}, thread={self.thread!r})"


class Thread(NamedTuple):
    """A thread that was opened here; ``token`` is for the page, ``expires`` is in epoch seconds."""

    id: ThreadId
    actor: ActorId
    user: str | None
    token: str
    expires: int

    def __repr__(self) -> str:
        return f"Thread(id={self.id!r}, user={self.user!r})"


class Site:
    """The site ``name`` of a Thumbseal server, by its application's ``key``.

    ``clock`` gives epoch seconds.

    Raises:
        SettingsError: the key is not what `thumbseal keys app` printed.
    """

    def __init__(self, name: str, key: str, *, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self._tokens = Tokens(name, Keys.of_app(key.strip()))
        self._clock = clock

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = ENVIRONMENT) -> Self:
        """The site that THUMBSEAL_SITE names, by the key in THUMBSEAL_APP_KEY.

        Raises:
            SettingsError: one of them is missing, or the key is none.
        """
        return cls(required(environment, SITE), required(environment, KEY))

    def open_thread(
        self,
        id: str | None = None,
        *,
        user: str | None = None,
        roles: Sequence[Role] = PAGE_ROLES,
    ) -> Thread:
        """A thread and its token for the page: for a day, renewed by the server while it is used.

        ``id`` is your own name for the thread, and the same name is the same thread: give a page
        only its own person's. ``user`` is whom you vouch for. ``roles`` are what the page may
        record; what it does record counts as the browser's word.

        Raises:
            TokenError: the user is longer than 64 bytes of UTF-8, or holds U+0000.
        """
        claims = self.new_thread(id, user, granted(roles))
        token = self._tokens.mint_thread(claims)
        return Thread(claims.thread, claims.actor, claims.user, token, claims.expires)

    def new_thread(self, name: str | None, user: str | None, grant: Grant) -> ThreadClaims:
        """The claims of a thread by your own name for it, or of a new one."""
        return new_thread(
            self.name, grant, self._clock(), user=user, actor=None, name=name, backend=True
        )

    def verify(self, token: str) -> Message:
        """The message of a token that a page sent, as in its header `x-thumbseal-message`.

        Raises:
            TokenError: it is not one of this site's, or its 90 days are over.
        """
        claims = self._tokens.read_message(token, self._clock())
        return Message(claims.message, claims.thread, claims.actor, token)

    def mint_message(self, beside: Message | Thread) -> Message:
        """A new message in the thread of another, such as the answer to a question: nobody has
        recorded it yet, and its token is for the page."""
        thread = beside.id if isinstance(beside, Thread) else beside.thread
        return self.blank(thread, beside.actor)

    def blank(self, thread: ThreadId, actor: ActorId) -> Message:
        """A message of a thread that nobody has recorded yet."""
        message, token = self._tokens.blank(thread, actor, self._clock())
        return Message(message, thread, actor, token)

    def speak(self, thread: ThreadId, actor: ActorId, user: str | None) -> str:
        """A thread token that writes every role as the backend. It is not for a page."""
        now = int(self._clock())
        claims = ThreadClaims(thread, actor, user, EVERY_ROLE, now, now, now + THREAD_LIFE)
        return self._tokens.mint_thread(claims)

    @property
    def now(self) -> int:
        """The time in ms."""
        return int(self._clock() * 1000)


def required(environment: Mapping[str, str], name: str) -> str:
    """A variable of the environment.

    Raises:
        SettingsError: it is not set.
    """
    value = environment.get(name)
    if not value:
        raise SettingsError(
            f"The environment has no {name}. THUMBSEAL_SITE is the site's name in the server's "
            "settings, THUMBSEAL_APP_KEY what `thumbseal keys app` prints, THUMBSEAL_URL where "
            "the server is."
        )
    return value
