/** Playwright has no browser of its own here. */
export default {
  testMatch: '*.e2e.mjs',
  reporter: 'line',
  use: {
    launchOptions: {
      executablePath: '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    },
  },
};
