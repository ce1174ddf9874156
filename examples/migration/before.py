"""A chat in a terminal: questions are answered by OpenAI, and rated with y or n.

It needs `pip install lunary openai` and OPENAI_API_KEY.
"""

import os

import lunary
from openai import OpenAI

lunary.config(
    api_url="https://api.lunary.ai",
    app_id=os.environ["LUNARY_PUBLIC_KEY"],
)
model = OpenAI()
lunary.monitor(model)
thread = lunary.open_thread(tags=["terminal"])

while question := input("Question, or nothing to end: "):
    asked = thread.track_message({"role": "user", "content": question})
    with lunary.parent(asked):
        said = {"role": "user", "content": question}
        completion = model.chat.completions.create(model="gpt-4o-mini", messages=[said])
    text = completion.choices[0].message.content
    print(text)
    answer = thread.track_message({"role": "assistant", "content": text})
    good = input("Was that good? y or n: ") == "y"
    lunary.track_feedback(answer, {"thumb": "up" if good else "down"})
