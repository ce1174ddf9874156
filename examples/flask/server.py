"""A chat that Flask renders. The backend records it; the page's only script is the widget's tag.

Once:               pip install flask
                    thumbseal init ~/thumbseal --origin http://127.0.0.1:8000
In one terminal:    thumbseal serve --config ~/thumbseal/thumbseal.toml
In another, here:   export THUMBSEAL_URL=http://127.0.0.1:8300 THUMBSEAL_SITE=support
                    export THUMBSEAL_APP_KEY
                    THUMBSEAL_APP_KEY=$(thumbseal keys app --config ~/thumbseal/thumbseal.toml)
                    flask --app server run --port 8000
Then open http://127.0.0.1:8000, ask something, and press a thumb.
"""

import secrets
from collections import defaultdict

from flask import Flask, redirect, render_template, request, session
from werkzeug.wrappers import Response

import thumbseal

app = Flask(__name__, template_folder=".")
app.secret_key = secrets.token_bytes()
recorder = thumbseal.Client.from_env()

#: What was said in each visitor's chat: (role, text, token).
chats: dict[str, list[tuple[str, str, str]]] = defaultdict(list)


def reply(question: str) -> str:
    """Your model's, in a real chat."""
    return f"You asked “{question}”, and this is where your model answers."


@app.get("/")
def page() -> str:
    return render_template("page.html", said=chats[chat_of_visitor()])


@app.post("/")
def ask() -> Response:
    chat, text = chat_of_visitor(), request.form["question"]
    thread = recorder.open_thread(chat)  # the same thread for the same chat
    question = thread.track_message({"role": "user", "content": text})
    with thumbseal.parent(question):
        said = reply(text)
    answer = thread.track_message({"role": "assistant", "content": said}, reply_to=question)
    chats[chat] += [("user", text, ""), ("assistant", said, answer.token)]
    return redirect("/", code=303)


def chat_of_visitor() -> str:
    """A name that nobody guesses: whoever names a thread can write into it."""
    name: str = session.setdefault("chat", secrets.token_urlsafe())
    return name
