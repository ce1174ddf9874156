"""Naming: what the ids of a backend's SDK stand for, in whichever spelling they come.

JavaScript's SDK sends ids as they are, Python's hashes each with its key. Both name the same thread
and the same message, whoever spoke of it first: the application's page, or an SDK with this backend
token or another one of the site.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

from thumbseal.claims import PassClaims
from thumbseal.events import BadEvent
from thumbseal.ids import MessageId, ThreadId, named_message, named_thread, python_id
from thumbseal.log import Alias, Log
from thumbseal.web.sites import ServedSite

MAX_NAME: Final = 128  # characters; ids are UUIDs, or words of the application's own


class Naming:
    """The names of one request: those that are known, and in ``noted`` those that it brings."""

    def __init__(self, site: str, keys: Sequence[str], known: Iterable[Alias] = ()) -> None:
        self._site = site
        self._keys = keys
        self._known = {alias.name: alias for alias in known}
        self.noted: list[Alias] = []

    def thread(self, name: object, field: str) -> ThreadId:
        """The thread of this name: what a page calls something of its own is none.

        Raises:
            BadEvent: it is no name, or that of something else than a thread.
        """
        text = checked(name, field)
        alias = self.find(text, pages=False)
        if alias is None:
            alias = self._note(Alias(spelled(text), named_thread(self._site, text)))
        if alias.item is not None:
            raise BadEvent("bad_event", field, "This is the id of a message or of a run.")
        return alias.thread

    def item(self, thread: ThreadId, name: object) -> MessageId:
        """The message of this name in a thread.

        Raises:
            BadEvent: it is no name, or that of something outside the thread.
        """
        text = checked(name, "runId")
        alias = self.find(text)
        if alias is None or (alias.page and alias.thread != thread):
            alias = self._note(Alias(spelled(text), thread, named_item(thread, text)))
        if alias.item is None or alias.run or alias.thread != thread:
            raise BadEvent("id_reused", "runId", "This id stands for something else already.")
        return MessageId(alias.item)

    def run(self, thread: ThreadId | None, name: object) -> Alias:
        """The run of this name that begins in a thread, or, under no message, in one of its own.

        Raises:
            BadEvent: it is no name, or that of something else.
        """
        text = checked(name, "runId")
        alias = self.find(text, pages=False)
        if alias is None:
            own = named_thread(self._site, text)
            item = own if thread is None else named_item(thread, text)
            alias = self._note(Alias(spelled(text), thread or own, item, run=True))
        if not alias.run or alias.thread != (thread or alias.item):
            raise BadEvent("id_reused", "runId", "This id stands for something else already.")
        return alias

    def find(self, name: str, *, pages: bool = True) -> Alias | None:
        """What a name stands for, if that is known; ``pages`` includes what a page has named."""
        for spelling in spellings(name, self._keys):
            alias = self._known.get(spelling)
            if alias is not None and (pages or not alias.page):
                return alias
        return None

    def _note(self, alias: Alias) -> Alias:
        self._known[alias.name] = alias
        self.noted.append(alias)
        return alias


async def look_up(
    log: Log, site: ServedSite, sent: Mapping[str, PassClaims], names: Iterable[str]
) -> Naming:
    """What is known of these names, by the keys that they were ``sent`` with. A name that is not
    known may be the hash of an id that was recorded only now."""
    others = await log.alias_keys(site.name)
    older = (key for each in others for key in site.tokens.backend_tokens(each))
    keys = dict.fromkeys([*sent, *older])
    wanted = {name: spellings(name, keys) for name in names}
    every = [spelling for each in wanted.values() for spelling in each]
    known = await log.aliases(site.name, every)
    if not all(any(spelling in known for spelling in each) for each in wanted.values()):
        for key, claims in sent.items():
            await log.spell(site.name, claims, key)
        known = await log.aliases(site.name, every)
    return Naming(site.name, tuple(keys), known.values())


def checked(name: object, field: str) -> str:
    """A name as it was sent.

    Raises:
        BadEvent: it is no text, or too long.
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or "\0" in name:
        raise BadEvent("bad_event", field, f"Give a {field} of 1 to {MAX_NAME} characters.")
    return name


def spelled(name: str) -> str:
    """A name in the one spelling that is stored: a UUID has several."""
    with suppress(ValueError):
        return str(UUID(name))
    return name


def spellings(name: str, keys: Iterable[str]) -> list[str]:
    """The ways in which a name may be known, as it is first."""
    return [spelled(name), *(python_id(name, key) for key in keys)]


def named_item(thread: ThreadId, name: str) -> MessageId:
    """The id for a name in a thread; a backend's UUID is the id, as for threads."""
    with suppress(ValueError):
        return MessageId(str(UUID(name)))
    return named_message(thread, ref(name))


def ref(name: str) -> str:
    """A name as a page's word for a message of its own thread (see `events.is_ref`)."""
    return f"~{name.lower()}"
