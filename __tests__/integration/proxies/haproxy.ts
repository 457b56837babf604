import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireProgram, startProgram } from '../../helpers/programs';
import type { Program } from '../../helpers/programs';

/** Starts HAProxy in front of a port, or of several in turn. It closes connections that are silent for `timeout` milliseconds. */
export async function startHaproxy(
  targetPort: number | number[],
  timeout: number,
): Promise<Program> {
  const path = requireProgram('/usr/sbin/haproxy', 'haproxy');
  const folder = mkdtempSync(join(tmpdir(), 'sse-duplex-haproxy-'));
  const servers = [targetPort].flat().map((target) => `server app-${target} 127.0.0.1:${target}`);
  const { port, stop } = await startProgram(path, (port) => {
    const file = join(folder, 'haproxy.cfg');
    const configuration = `
      defaults
        mode http
        timeout connect 5s
        timeout client ${timeout}ms
        timeout server ${timeout}ms
      listen sse
        bind 127.0.0.1:${port}
        balance roundrobin
        option redispatch 1
        retry-on conn-failure
        ${servers.join('\n        ')}
`;
    writeFileSync(file, configuration);
    return ['-db', '-f', file];
  });
  return {
    port,
    async stop() {
      await stop();
      rmSync(folder, { recursive: true });
    },
  };
}
