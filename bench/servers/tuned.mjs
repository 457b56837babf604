import { IncomingMessage, ServerResponse, createServer } from 'node:http';

/** Creates the server that docs/scaling.md recommends for Express on Node 20 and 22. */
export function createTunedServer(app) {
  class AppRequest extends IncomingMessage {}
  class AppResponse extends ServerResponse {}
  app.request = Object.setPrototypeOf(AppRequest.prototype, app.request);
  app.response = Object.setPrototypeOf(AppResponse.prototype, app.response);
  return createServer({ IncomingMessage: AppRequest, ServerResponse: AppResponse }, app);
}
