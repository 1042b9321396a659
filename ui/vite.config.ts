import { defineConfig } from 'vite';

const server = process.env.BINNACLE_URL ?? 'http://localhost:9090';

export default defineConfig({
  // Relative asset addresses: the server may mount the page under any prefix and only rewrites <base href="/">.
  base: './',
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
  server: { proxy: { '/api': server, '/metrics': server, '/-': server } },
});
