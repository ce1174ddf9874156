// Bundlers move scripts: this works before the widget is there. Where it is blocked, `thread` stays
// undefined and the chat works all the same.
let thread;
(window.thumbseal ??= { q: [] }).q.push((thumbseal) => {
  thread = thumbseal.openThread({ id: 'assistant-ui' });
});

/** Your backend, in a real chat: it gets the headers with the question, and streams its answer. */
async function* fetchAnswer(question, headers) {
  const answer = `You asked “${question}”, and this is where your model answers.`;
  for (const piece of answer.split(/(?<= )/)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    yield piece;
  }
}

const textOf = ({ content }) => content.map((part) => part.text ?? '').join('');
const tokenOf = ({ metadata }) => metadata.custom.thumbseal;

/** Records the question and its answer, whose token travels in the message's own metadata. */
export const chatModel = {
  async *run({ messages }) {
    const asked = textOf(messages.at(-1));
    const question = thread?.trackMessage({ role: 'user', content: asked });
    let text = '';
    for await (const piece of fetchAnswer(asked, question?.headers())) {
      text += piece;
      yield { content: [{ type: 'text', text }] };
    }
    const fields = { role: 'assistant', content: text, replyTo: question };
    const answer = thread?.trackMessage(fields);
    // Offline there is no token yet; the reference stands for it.
    yield { metadata: { custom: { thumbseal: answer?.token ?? answer?.ref } } };
  },
};

/** assistant-ui's thumbs, and the comment if you ask for one. */
export const feedback = {
  submit({ message, type, comment }) {
    const thumb = type === 'positive' ? 'up' : 'down';
    window.thumbseal.trackFeedback?.(tokenOf(message), { thumb, comment });
  },
};

const readMessages = () => JSON.parse(localStorage.messages ?? '[]');

/** The conversation is kept in this browser; how this person voted, Thumbseal knows. */
export const history = {
  async append(item) {
    localStorage.messages = JSON.stringify([...readMessages(), item]);
  },
  async load() {
    return { messages: await Promise.all(readMessages().map(withVote)) };
  },
};

async function withVote({ message, parentId }) {
  const token = tokenOf(message);
  const { thumb } = (token && (await window.thumbseal.getFeedback?.(token))) ?? {};
  const type = { up: 'positive', down: 'negative' }[thumb];
  const metadata = { ...message.metadata, ...(type && { submittedFeedback: { type } }) };
  return { parentId, message: { ...message, createdAt: new Date(message.createdAt), metadata } };
}
