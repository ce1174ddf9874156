"""A chat by Django, in one file: the page records the question, the backend its answer.

Once:               pip install django
                    thumbseal init ~/thumbseal --origin http://127.0.0.1:8000
In one terminal:    thumbseal serve --config ~/thumbseal/thumbseal.toml
In another, here:   export THUMBSEAL_URL=http://127.0.0.1:8300 THUMBSEAL_SITE=support
                    export THUMBSEAL_APP_KEY
                    THUMBSEAL_APP_KEY=$(thumbseal keys app --config ~/thumbseal/thumbseal.toml)
                    python3 server.py runserver --noreload 8000
Then open http://127.0.0.1:8000, ask something, and press a thumb.
"""

import json
import secrets
import sys
from pathlib import Path

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path

import thumbseal
from thumbseal.backend import answers

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=[
        "django.middleware.csrf.CsrfViewMiddleware",
        "thumbseal.backend.django.ThumbsealMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_urlsafe(),
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [Path(__file__).parent],
        }
    ],
)
recorder = thumbseal.Client.from_env()


def reply(question: str) -> str:
    """Your model's, in a real chat."""
    return f"You asked “{question}”, and this is where your model answers."


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html")


def chat(request: HttpRequest) -> HttpResponse:
    text = reply(json.loads(request.body)["question"])
    question = request.thumbseal_message  # None where the page could not record it
    if question is None:
        return JsonResponse({"text": text})
    thread = recorder.thread_of(question)
    answer = thread.track_message({"role": "assistant", "content": text}, reply_to=question)
    return JsonResponse(answers.json_of(answer, {"text": text}))


urlpatterns = [path("", page), path("api/chat", chat)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
