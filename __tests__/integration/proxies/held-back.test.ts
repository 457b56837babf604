import { createServer, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { createRandom, seeds } from '../../helpers/random';
import { startNginx } from './nginx';
import { runTraffic } from './traffic';
import type { StartProxy } from './traffic';

/**
 * Starts a proxy that holds each response back until it is complete.
 *
 * @param isDropped returns whether the next response is lost.
 */
function startBufferingProxy(isDropped: () => boolean = () => false): StartProxy {
  return async (port) => {
    const server = createServer((request, response) => {
      const { method, url, headers } = request;
      const forwarded = sendRequest({ host: '127.0.0.1', port, method, path: url, headers });
      request.pipe(forwarded);
      forwarded.on('error', () => response.destroy());
      forwarded.on('response', (upstream) => {
        buffer(upstream).then(
          (body) => {
            if (isDropped()) response.destroy();
            else response.writeHead(upstream.statusCode!, upstream.headers).end(body);
          },
          () => response.destroy(),
        );
      });
      response.on('close', () => forwarded.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      port: (server.address() as AddressInfo).port,
      stop: () =>
        new Promise((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    };
  };
}

/** Starts nginx so that it buffers responses although they ask it not to. */
const startBufferingNginx: StartProxy = (port) =>
  startNginx(port, { location: 'proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;' });

describe('Behind a proxy that holds responses back until they are complete, the channel', () => {
  it.each([
    ['nginx', startBufferingNginx],
    ['of the tests', startBufferingProxy()],
  ])(
    'polls, and delivers 10,000 messages in each direction once and in order (proxy %s)',
    async (_, startProxy) => {
      const [seed] = seeds(1);
      const { up, down, events, transport } = await runTraffic(startProxy, {
        seed: seed!,
        messages: 10_000,
        burst: 500,
      });
      for (const direction of [up, down]) {
        expect(direction).toMatchObject({ sent: 10_000, received: 10_000 });
        expect(direction.receivedHash).toBe(direction.sentHash);
      }
      expect(transport).toBe('poll');
      expect(events).toEqual(['open', 'error']); // the error says that the client polls
    },
    60_000,
  );

  it.each(seeds(1))(
    'delivers 10,000 messages in each direction once and in order although a tenth of the responses are lost (SEED=%d)',
    async (seed) => {
      const random = createRandom(seed);
      let dropped = 0;
      const isDropped = () => {
        const isLost = random.integer(1, 10) === 1;
        if (isLost) dropped++;
        return isLost;
      };
      const { up, down } = await runTraffic(startBufferingProxy(isDropped), {
        seed,
        messages: 10_000,
        burst: 100,
      });
      for (const direction of [up, down]) {
        expect(direction).toMatchObject({ sent: 10_000, received: 10_000 });
        expect(direction.receivedHash).toBe(direction.sentHash);
      }
      expect(dropped).toBeGreaterThan(0);
    },
    60_000,
  );
});
