import { createUIMessageStream, pipeUIMessageStreamToResponse } from 'ai';
import { defineConfig } from 'vite';

const address = { host: '127.0.0.1', port: 8000, strictPort: true };

/** The backend. In a real one `streamText` writes the answer, and OpenTelemetry's HTTP
 * instrumentation takes up `traceparent`: the model's call is recorded under the question's id. */
async function answer(request, response) {
  const { messages } = JSON.parse(Buffer.concat(await request.toArray()));
  const [question] = messages.at(-1).parts;
  const text = `You asked “${question.text}”, and this is where your model answers.`;
  const stream = createUIMessageStream({
    async execute({ writer }) {
      writer.write({ type: 'text-start', id: '1' });
      for (const delta of text.split(/(?<= )/)) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        writer.write({ type: 'text-delta', id: '1', delta });
      }
      writer.write({ type: 'text-end', id: '1' });
    },
  });
  pipeUIMessageStreamToResponse({ response, stream });
}

const chat = (server) => void server.middlewares.use('/api/chat', answer);

export default defineConfig({
  plugins: [{ name: 'chat', configureServer: chat, configurePreviewServer: chat }],
  server: address,
  preview: address,
});
