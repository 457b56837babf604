import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import express from 'express';
import session from 'express-session';
import { createSseMiddleware } from 'sse-duplex';

const app = express();
app.use(
  session({
    secret: process.env.SECRET ?? randomBytes(16).toString('hex'),
    resave: false,
    saveUninitialized: false,
    cookie: { sameSite: 'lax' },
  }),
);

// Called for each GET and POST of the channel. The string says who the user is.
const sse = createSseMiddleware('/sse', {
  authorize: (request) => request.session.user ?? false,
});
app.use(sse);

sse.on('connection', (connection) => {
  const user = connection.principal;
  connection.join(`user:${user}`);
  sse.to(`user:${user}`).send(`${user} has opened a page`);
});

app.post('/sign-in', express.urlencoded(), (request, response, next) => {
  const user = String(request.body.user ?? '').trim();
  if (user === '') return response.sendStatus(400); // A real application checks a password here.
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.user = user;
    response.sendStatus(204);
  });
});

app.post('/sign-out', (request, response, next) => {
  const { user } = request.session;
  request.session.destroy((error) => {
    if (error) return next(error);
    // Their streams are open already, so the cookie alone does not end them.
    sse.to(`user:${user}`).close(4401, 'signed out');
    response.sendStatus(204);
  });
});

const page = fileURLToPath(new URL('index.html', import.meta.url));
app.get('/', (request, response) => response.sendFile(page));

const server = app.listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error;
  console.log(`Open http://localhost:${server.address().port}`);
});
