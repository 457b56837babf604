import { buildSync } from 'esbuild';
import { CASES } from '../websocket/cases';
import type { runCase } from '../websocket/cases';
import type { SseWebSocket } from '../../lib/websocket';
import { openCaseServer } from '../websocket/case-server';
import { onTestFinished } from '../helpers/on-test-finished';
import { launchChromium, launchFirefox, launchWebKit } from './helpers/engines';
import type { Engine } from './helpers/engines';

declare global {
  interface Window {
    code: { runCase: typeof runCase; SseWebSocket: typeof SseWebSocket };
  }
}

jest.setTimeout(60_000);

const { outputFiles } = buildSync({
  stdin: {
    contents: `export { SseWebSocket } from './lib/websocket';
      export { runCase } from './__tests__/websocket/cases';`,
    resolveDir: process.cwd(),
    loader: 'ts',
  },
  bundle: true,
  format: 'iife',
  globalName: 'code',
  write: false,
});
const PAGE = `<!doctype html><title>cases</title><script>${outputFiles[0]!.text}</script>`;

describe.each([
  ['Chromium', launchChromium],
  ['Firefox', launchFirefox],
  ['WebKitGTK', launchWebKit],
] as [string, () => Promise<Engine>][])(
  'In %s, WebSocket and SseWebSocket',
  (engineName, launch) => {
    let engine: Engine;

    beforeAll(async () => {
      engine = await launch();
    });

    afterAll(() => engine.close());

    it.each(CASES)('behave alike: $name', async ({ name, expected, except = [] }) => {
      const { native, sse, page: url } = await openCaseServer(PAGE);
      const page = await engine.openPage();
      onTestFinished(() => page.close());
      await page.goto(url);
      const observe = (isNative: boolean) =>
        page.evaluate(
          (isPlatform, address, caseName) =>
            window.code.runCase(
              isPlatform ? WebSocket : window.code.SseWebSocket,
              address,
              caseName,
            ),
          isNative,
          isNative ? native : sse,
          name,
        );
      expect(await observe(false)).toEqual(expected);
      if (!except.includes(engineName)) expect(await observe(true)).toEqual(expected);
    });
  },
);
