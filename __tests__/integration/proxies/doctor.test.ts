import { runCommand } from '../../cli/run-command';
import type { Finding } from '../../../lib/cli/doctor';
import { openServer } from '../../delivery/open-server';
import { onTestFinished } from '../../helpers/on-test-finished';
import { startHaproxy } from './haproxy';
import { startNginx } from './nginx';

jest.setTimeout(60_000);

interface Proxy {
  port: number;
  stop(): Promise<void>;
}

/** Examines the path through a proxy to a server with the default heartbeat. */
async function examine(start: (port: number) => Promise<Proxy>, idle: number) {
  const { port, close } = await openServer();
  onTestFinished(close);
  const proxy = await start(port);
  onTestFinished(() => proxy.stop());
  const url = `http://127.0.0.1:${proxy.port}/sse`;
  const { code, out } = await runCommand('doctor', url, '--json', '--idle', String(idle));
  const findings = JSON.parse(out) as Finding[];
  return { code, findings, warnings: findings.filter(({ severity }) => severity === 'warning') };
}

describe('The doctor', () => {
  it.each<[string, (port: number) => Promise<Proxy>]>([
    ['nginx with its defaults', (port) => startNginx(port)],
    ['HAProxy', (port) => startHaproxy(port, 60_000)],
  ])('finds nothing wrong with %s', async (_, start) => {
    const { code, findings, warnings } = await examine(start, 1);
    expect({ code, warnings }).toEqual({ code: 0, warnings: [] });
    expect(findings.at(-1)!.text).toContain('transport "stream"');
  });

  it('recognises an nginx that buffers', async () => {
    const location = 'proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;';
    const { code, findings, warnings } = await examine((port) => startNginx(port, { location }), 0);
    expect(code).toBe(0);
    expect(warnings).toMatchObject([{ check: 'stream' }]);
    expect(findings.at(-1)!.text).toContain('transport "poll"');
  });

  it('recognises a proxy that cuts idle streams after 5 s', async () => {
    const { code, warnings } = await examine((port) => startHaproxy(port, 5_000), 10);
    expect(code).toBe(0);
    expect(warnings).toMatchObject([{ check: 'idle' }]);
    expect(warnings[0]!.text).toMatch(/^The stream was cut after [\d.]+ s\./);
  });

  it('recognises a proxy that does not reach the server', async () => {
    const { code, findings } = await examine(() => startNginx(1), 0);
    expect(code).toBe(1);
    expect(findings).toMatchObject([{ check: 'server', severity: 'failure' }]);
    expect(findings[0]!.text).toContain('HTTP 502');
  });
});
