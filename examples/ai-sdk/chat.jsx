import { useChat } from '@ai-sdk/react';
import { useEffect, useRef, useState } from 'react';
import { createRoot } from 'react-dom/client';

// Bundlers move scripts: this works before the widget is there. Where it is blocked, `thread` stays
// undefined and the chat works all the same.
let thread;
(window.thumbseal ??= { q: [] }).q.push((thumbseal) => {
  thread = thumbseal.openThread({ id: 'ai-sdk' });
});

/** A value that is kept in this browser. */
function useStored(name, initial) {
  const [value, setValue] = useState(() => JSON.parse(localStorage[name] ?? null) ?? initial);
  useEffect(() => {
    localStorage[name] = JSON.stringify(value);
  }, [name, value]);
  return [value, setValue];
}

const textOf = ({ parts }) => parts.map((part) => part.text ?? '').join('');

function Chat() {
  const [stored, setStored] = useStored('messages', []);
  /** The token of each answer, by the SDK's id of it. */
  const [tokens, setTokens] = useStored('tokens', {});
  /** What the answer under way is to be recorded with. */
  const next = useRef({});

  const { messages, sendMessage, regenerate, status } = useChat({
    messages: stored,
    async onFinish({ message, messages, isError }) {
      if (isError) return;
      setStored(messages);
      const fields = { role: 'assistant', content: textOf(message), ...next.current };
      const answer = thread?.trackMessage(fields);
      await answer?.ready;
      setTokens((all) => ({ ...all, [message.id]: answer?.token }));
    },
  });

  function ask(text) {
    const question = thread?.trackMessage({ role: 'user', content: text });
    next.current = { replyTo: question };
    sendMessage({ text }, { headers: question?.headers() });
  }

  /** The new answer is reserved, so that the backend may name it before it is written. */
  function askAgain(id) {
    const answer = thread?.message();
    next.current = { message: answer, retryOf: tokens[id] };
    regenerate({ messageId: id, headers: answer?.headers() });
  }

  return (
    <>
      {messages.map((message) => (
        <article key={message.id} className={message.role}>
          <p>{textOf(message)}</p>
          {tokens[message.id] && <thumb-seal message={tokens[message.id]} />}
          {message.role === 'assistant' && message === messages.at(-1) && (
            <button disabled={status !== 'ready'} onClick={() => askAgain(message.id)}>
              Try again
            </button>
          )}
        </article>
      ))}
      <form
        action={(data) => {
          ask(data.get('question'));
        }}
      >
        <input name="question" aria-label="Question" required />
        <button disabled={status !== 'ready'}>Ask</button>
      </form>
    </>
  );
}

createRoot(document.querySelector('main')).render(<Chat />);
