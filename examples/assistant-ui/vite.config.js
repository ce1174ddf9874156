import { defineConfig } from 'vite';

const address = { host: '127.0.0.1', port: 8000, strictPort: true };

export default defineConfig({ server: address, preview: address });
