export default {
  esbuild: { jsx: 'automatic' },
  server: { proxy: { '/sse': 'http://localhost:3000' } },
};
