import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['e2e/**/*.test.ts'],
    environment: 'node',
    // vitest sets BASE_URL to its own base: hand ours on under another name.
    env: { SERVER_URL: process.env.BASE_URL ?? '' },
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
