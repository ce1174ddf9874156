"""The parent of what runs: whatever a model does inside belongs to one message.

A message's id is a W3C trace id, so OpenTelemetry's spans get it as their trace; Lunary's SDK gets
it as its parent. Each is told if the application has imported it, since else it records nothing.
"""

import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from contextvars import Context, ContextVar, copy_context
from functools import partial, wraps
from typing import Any, Final, ParamSpec, TypeVar, cast

from thumbseal.backend.site import Message

P = ParamSpec("P")
R = TypeVar("R")
Source = Message | None | Callable[..., Message | None]

_SPAN_BITS: Final = 64
_current: Final[ContextVar[Message | None]] = ContextVar("thumbseal.message", default=None)
_entered: Final[ContextVar[tuple[tuple["Parent", ExitStack], ...]]] = ContextVar(
    "thumbseal.entered", default=()
)


def current_message() -> Message | None:
    """The message that what runs here belongs to: of the innermost `parent`, or None."""
    return _current.get()


def parent(message: Source) -> "Parent":
    """Everything inside belongs to ``message``: a context manager, and a decorator.

    It decorates functions, coroutines and generators of both kinds; there ``message`` may be a
    function that finds it among the call's own arguments. None changes nothing. Inside an
    OpenTelemetry span of the message's own trace that span stays the parent; any other is left for
    the message's trace, which counts as sampled. A thread that you start begins with no parent:
    run it in `contextvars.copy_context()`, as `asyncio.to_thread` does.
    """
    return Parent(message)


class Parent:
    """What `parent` returns. It has no state of its own: one may be entered anywhere, any number
    of times at once."""

    def __init__(self, message: Source) -> None:
        self._message = message

    def __enter__(self) -> Message | None:
        message = self._message() if callable(self._message) else self._message
        undo = ExitStack()
        if message is not None:
            _set(undo, _current, message)
            _tell_lunary(undo, message)
            _tell_opentelemetry(undo, message)
        _entered.set((*_entered.get(), (self, undo)))
        return message

    def __exit__(self, *_: object) -> None:
        # A generator may be closed in another context than it was begun in, where nothing was set.
        entered = _entered.get()
        if entered and entered[-1][0] is self:
            _entered.set(entered[:-1])
            entered[-1][1].close()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        call = _kind_of(function)(self, function)
        return cast(Callable[P, R], wraps(function)(call))

    def of_call(self, *args: Any, **kwargs: Any) -> "Parent":
        """The parent of one call of a decorated function."""
        message = self._message(*args, **kwargs) if callable(self._message) else self._message
        return Parent(message)


def _function(owner: Parent, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with owner.of_call(*args, **kwargs):
            return function(*args, **kwargs)

    return call


def _coroutine(owner: Parent, function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with owner.of_call(*args, **kwargs):
            return await function(*args, **kwargs)

    return call


def _generator(owner: Parent, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        def inside() -> Generator[Any, Any, Any]:
            with owner.of_call(*args, **kwargs):
                return (yield from function(*args, **kwargs))

        return (yield from _stepped(copy_context(), inside()))

    return call


def _async_generator(owner: Parent, function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        context = copy_context()
        context.run(owner.of_call(*args, **kwargs).__enter__)
        body = function(*args, **kwargs)
        step = body.asend(None)
        try:
            while True:
                value = await _Stepped(context, step)
                try:
                    step = body.asend((yield value))
                except Exception as error:  # noqa: BLE001  it is the body's to handle
                    step = body.athrow(error)
        except StopAsyncIteration:
            return
        finally:
            await _Stepped(context, body.aclose())

    return call


def _kind_of(function: Callable[..., Any]) -> Callable[[Parent, Callable[..., Any]], Any]:
    import inspect  # takes as long as a tenth of all that importing thumbseal does

    if inspect.iscoroutinefunction(function):
        return _coroutine
    if inspect.isasyncgenfunction(function):
        return _async_generator
    return _generator if inspect.isgeneratorfunction(function) else _function


def _stepped(context: Context, body: Generator[Any, Any, R]) -> Generator[Any, Any, R]:
    """A generator whose every step runs in one context. Python lends a generator the context of
    whoever asks it for the next value: what it sets would be seen there, and lost here."""
    step = partial(body.send, None)
    while True:
        try:
            value = context.run(step)
        except StopIteration as end:
            return cast(R, end.value)
        try:
            step = partial(body.send, (yield value))
        except GeneratorExit:
            context.run(body.close)
            raise
        except BaseException as error:  # noqa: BLE001  it is the body's to handle
            step = partial(body.throw, error)


class _Stepped:
    """Something to await whose every step runs in one context."""

    def __init__(self, context: Context, awaited: Any) -> None:
        self._context = context
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        return _stepped(self._context, self._awaited.__await__())


def _set(undo: ExitStack, variable: ContextVar[Any], value: object) -> None:
    undo.callback(variable.reset, variable.set(value))


def _tell_lunary(undo: ExitStack, message: Message) -> None:
    """Lunary's own ``parent`` forgets what was set around it, so its variable is set here."""
    lunary = sys.modules.get("lunary")
    if lunary is None:
        return
    variable = getattr(lunary, "parent_ctx", None)
    if isinstance(variable, ContextVar):
        _set(undo, variable, {"message_id": message.id, "retrieved": False})
    else:
        import logging

        text = "This version of lunary has no parent that Thumbseal knows how to set."
        logging.getLogger("thumbseal").warning(text)


def _tell_opentelemetry(undo: ExitStack, message: Message) -> None:
    if "opentelemetry.trace" not in sys.modules:
        return
    from opentelemetry import context, trace

    trace_id = int(message.trace_id, 16)
    if trace.get_current_span().get_span_context().trace_id == trace_id:
        return
    # Made of the message's own random bits, so that all calls for it share one parent.
    span_id = trace_id & (1 << _SPAN_BITS) - 1 or 1
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    remote = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    around = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    undo.callback(context.detach, context.attach(around))
