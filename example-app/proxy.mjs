import { createServer, request as send } from 'node:http';
import { pipeline } from 'node:stream';

/** Creates a server that forwards each request to another one of the ports, in turn. */
export function createProxy(listPorts) {
  let count = 0;
  return createServer((request, response) => {
    const ports = listPorts();
    const fail = () => (response.headersSent ? response.destroy() : response.writeHead(502).end());
    if (ports.length === 0) return fail();

    const port = ports[count++ % ports.length];
    const { method, url, headers } = request;
    const outgoing = send({ host: '127.0.0.1', port, method, path: url, headers }, (incoming) => {
      response.writeHead(incoming.statusCode, incoming.headers);
      response.flushHeaders();
      pipeline(incoming, response, () => {}); // It also destroys the response if the node is killed.
    });
    outgoing.on('error', fail);
    response.once('close', () => outgoing.destroy());
    request.pipe(outgoing);
  });
}
