"""A chat that streams, by FastAPI and the OpenAI SDK; its answers are recorded here, on the server.

Once:               pip install fastapi uvicorn openai
                    thumbseal init ~/thumbseal --origin http://127.0.0.1:8000
In one terminal:    thumbseal serve --config ~/thumbseal/thumbseal.toml
In another, here:   export THUMBSEAL_URL=http://127.0.0.1:8300 THUMBSEAL_SITE=support
                    export THUMBSEAL_APP_KEY
                    THUMBSEAL_APP_KEY=$(thumbseal keys app --config ~/thumbseal/thumbseal.toml)
                    export OPENAI_API_KEY=sk-...
                    uvicorn server:app --port 8000
Then open http://127.0.0.1:8000, ask something, and press a thumb.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from fastapi import FastAPI
from fastapi.responses import FileResponse, StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

import thumbseal
from thumbseal.backend import answers
from thumbseal.backend.asgi import ThumbsealMiddleware

PAGE = Path(__file__).with_name("page.html")
MODEL = "gpt-4o-mini"

model = AsyncOpenAI()
recorder = thumbseal.Client.from_env()
app = FastAPI()
app.add_middleware(ThumbsealMiddleware, site=recorder.site)


class Said(BaseModel):
    role: Literal["user", "assistant"]
    content: str


@app.get("/")
def page() -> FileResponse:
    return FileResponse(PAGE)


@app.post("/api/chat")
async def chat(messages: list[Said]) -> StreamingResponse:
    question = thumbseal.current_message()  # None where the page could not record it
    if question is None:
        return StreamingResponse(ask(messages), media_type="text/plain")
    answer = recorder.site.mint_message(question)
    recorded = record(ask(messages), question, answer)
    headers = answers.headers_of(answer)  # the page has it before the first word
    return StreamingResponse(recorded, media_type="text/plain", headers=headers)


async def ask(messages: list[Said]) -> AsyncIterator[str]:
    """The model's answer, part by part."""
    said = [each.model_dump() for each in messages]
    stream = await model.chat.completions.create(model=MODEL, messages=said, stream=True)
    async for chunk in stream:
        for choice in chunk.choices:
            yield choice.delta.content or ""


async def record(
    parts: AsyncIterator[str], question: thumbseal.Message, answer: thumbseal.Message
) -> AsyncIterator[str]:
    """The same parts; what was said is recorded at the end, also where the reader has left."""
    said = ""
    try:
        async for part in parts:
            said += part
            yield part
    finally:
        message = {"role": "assistant", "content": said}
        recorder.thread_of(question).track_message(message, message=answer, reply_to=question)
