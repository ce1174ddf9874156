import {
  ActionBarPrimitive,
  AssistantRuntimeProvider,
  ComposerPrimitive,
  MessagePrimitive,
  ThreadPrimitive,
  useLocalRuntime,
} from '@assistant-ui/react';
import { createRoot } from 'react-dom/client';
import { chatModel, feedback, history } from './adapters.js';

function Message({ role }) {
  return (
    <MessagePrimitive.Root>
      <MessagePrimitive.Parts />
      {role === 'assistant' && (
        <ActionBarPrimitive.Root hideWhenRunning>
          <ActionBarPrimitive.FeedbackPositive>Good answer</ActionBarPrimitive.FeedbackPositive>
          <ActionBarPrimitive.FeedbackNegative>Bad answer</ActionBarPrimitive.FeedbackNegative>
        </ActionBarPrimitive.Root>
      )}
    </MessagePrimitive.Root>
  );
}

function Chat() {
  const runtime = useLocalRuntime(chatModel, { adapters: { feedback, history } });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Messages>
          {({ message }) => <Message role={message.role} />}
        </ThreadPrimitive.Messages>
        <ComposerPrimitive.Root>
          <ComposerPrimitive.Input aria-label="Question" />
          <ComposerPrimitive.Send>Ask</ComposerPrimitive.Send>
        </ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

createRoot(document.querySelector('main')).render(<Chat />);
