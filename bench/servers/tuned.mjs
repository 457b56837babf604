import { IncomingMessage, ServerResponse, createServer } from 'node:http';

/** What docs/scaling.md advises for Express on Node 20 and 22. */
export function createTunedServer(app) {
  class Request extends IncomingMessage {}
  class Response extends ServerResponse {}
  app.request = Object.setPrototypeOf(Request.prototype, app.request);
  app.response = Object.setPrototypeOf(Response.prototype, app.response);
  return createServer({ IncomingMessage: Request, ServerResponse: Response }, app);
}
