/* A chat by Express that records with Lunary's SDK, through Thumbseal.

Once:               thumbseal init ~/thumbseal --origin http://127.0.0.1:8000
In one terminal:    thumbseal serve --config ~/thumbseal/thumbseal.toml
In another, here:   npm install && export LUNARY_API_URL=http://127.0.0.1:8300
                    export LUNARY_PUBLIC_KEY
                    LUNARY_PUBLIC_KEY=$(thumbseal token backend --config ~/thumbseal/thumbseal.toml)
                    node server.js
Then open http://127.0.0.1:8000, ask something, and press a thumb. */

import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import express from "express";
import lunary from "lunary";

const app = express();
const PAGE = fileURLToPath(new URL("page.html", import.meta.url));
// By a name that nobody guesses: a visitor reaches her own chat alone.
const chats = new Map();

app.use(express.json());
app.get("/", (request, response) => response.sendFile(PAGE));

app.post("/api/chats", (request, response) => {
  const id = randomUUID();
  chats.set(id, { thread: lunary.openThread({ id, tags: ["web"] }), answers: new Set() });
  response.json({ id });
});

app.post("/api/chats/:id/messages", (request, response) => {
  const chat = chats.get(request.params.id);
  if (!chat) return response.sendStatus(404);
  const { question } = request.body;
  chat.thread.trackMessage({ role: "user", content: question });
  const content = reply(question);
  const id = chat.thread.trackMessage({ role: "assistant", content });
  chat.answers.add(id);
  response.json({ id, content });
});

app.post("/api/chats/:id/messages/:message/thumb", (request, response) => {
  const { id, message } = request.params;
  if (!chats.get(id)?.answers.has(message)) return response.sendStatus(404);
  lunary.trackFeedback(message, { thumb: request.body.thumb });
  response.sendStatus(204);
});

/** Your model's, in a real chat. */
function reply(question) {
  return `You asked “${question}”, and this is where your model answers.`;
}

app.listen(8000, "127.0.0.1", () => console.log("Open http://127.0.0.1:8000"));
