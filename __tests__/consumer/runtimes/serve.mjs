// Prints the port of a server that echoes, and that cuts all connections when a client asks it to.
import { createServer } from 'node:http';
import { createSseMiddleware } from 'sse-duplex';

const sse = createSseMiddleware('/sse');
const server = createServer((request, response) =>
  sse(request, response, () => response.writeHead(404).end()),
);
sse.on('connection', (connection) => {
  connection.send('welcome');
  connection.on('message', (message) => {
    if (message === 'cut') server.closeAllConnections();
    else connection.send({ echo: message });
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
