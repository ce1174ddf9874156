"""A chat that streams from a LangChain chain, whose runs hang on the question that they answer.

Once:               pip install fastapi uvicorn langchain-openai lunary
                    thumbseal init ~/thumbseal --origin http://127.0.0.1:8000
In one terminal:    thumbseal serve --config ~/thumbseal/thumbseal.toml
In another, here:   export THUMBSEAL_URL=http://127.0.0.1:8300 THUMBSEAL_SITE=support
                    export LUNARY_API_URL=http://127.0.0.1:8300
                    export THUMBSEAL_APP_KEY LUNARY_PUBLIC_KEY
                    THUMBSEAL_APP_KEY=$(thumbseal keys app --config ~/thumbseal/thumbseal.toml)
                    LUNARY_PUBLIC_KEY=$(thumbseal token backend --config ~/thumbseal/thumbseal.toml)
                    export OPENAI_API_KEY=sk-...
                    uvicorn server:app --port 8000
Then open http://127.0.0.1:8000, ask something, and press a thumb.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from fastapi import FastAPI
from fastapi.responses import FileResponse, StreamingResponse
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from lunary import LunaryCallbackHandler
from pydantic import BaseModel

import thumbseal
from thumbseal.backend import answers
from thumbseal.backend.asgi import ThumbsealMiddleware

PAGE = Path(__file__).with_name("page.html")

prompt = ChatPromptTemplate([("system", "Be brief."), ("placeholder", "{messages}")])
chain = prompt | ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()
# It sends its runs to Thumbseal, and the middleware says which message they belong to.
runs = LunaryCallbackHandler()

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


def ask(messages: list[Said]) -> AsyncIterator[str]:
    """The chain's answer, part by part."""
    said = {"messages": [each.model_dump() for each in messages]}
    return chain.astream(said, config={"callbacks": [runs]})


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
