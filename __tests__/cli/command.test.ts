import { openServer } from '../delivery/open-server';
import { findPort } from '../helpers/programs';
import { onTestFinished } from '../helpers/on-test-finished';
import type { Request } from 'express';
import type { SseConnection, SseOptions } from '../../lib/index';
import { waitFor } from '../helpers/wait-for';
import { runCommand, startCommand } from './run-command';

/** Starts a server that records the messages of its clients. */
async function open(options: SseOptions<Request> = {}) {
  const { server, sse, port, close } = await openServer({ drainTimeout: 100, ...options });
  onTestFinished(close);
  const received: unknown[] = [];
  const connections: SseConnection[] = [];
  sse.on('connection', (connection) => {
    connections.push(connection);
    connection.on('message', (message) => received.push(message));
  });
  return { server, sse, url: `http://127.0.0.1:${port}/sse`, received, connections };
}

describe('The command line', () => {
  it('prints its help and its version', async () => {
    expect(await runCommand('--help')).toMatchObject({ code: 0, err: '' });
    expect((await runCommand('--help')).out).toContain('sse-duplex doctor URL');
    expect(await runCommand('--version')).toEqual({ code: 0, out: '1.2.3\n', err: '' });
  });

  it.each([
    [[], 'one URL is needed, not none'],
    [['http://a/', 'http://b/'], 'one URL is needed, not 2'],
    [['doctor'], 'one URL is needed, not none: for example, http://localhost:3000/sse'],
    [['ws://localhost/sse'], 'begin with http: or https:, not "ws://localhost/sse"'],
    [['/sse'], 'must be absolute'],
    [['--listen', 'x'], '--listen must be a number from 0 to 65535, not "x"'],
    [['--listen', ' '], '--listen must be a number'],
    [['--listen', '1', 'http://a/'], 'exclude each other'],
    [['http://a/', '-w', '-2'], "'-w' argument is ambiguous"],
    [['http://a/', '--wait=-2'], '--wait must be a number from -1 to 2147483, not "-2"'],
    [['doctor', 'http://a/', '--idle', '4000'], '--idle must be a number from 0 to 3600'],
    [['http://a/', '-H', 'no colon'], `'NAME: VALUE', not "no colon"`],
    [['http://a/', '--transport', 'fast'], 'auto, stream or poll, not "fast"'],
    [['http://a/', '--unknown'], "Unknown option '--unknown'"],
    [['http://a/', '--json'], '--json does not go with a URL'],
    [['doctor', 'http://a/', '-x', '1'], '--execute does not go with doctor'],
    [['--listen', '0', '--idle', '1'], '--idle does not go with --listen'],
    [['http://user:secret@localhost/sse'], 'pass a header with -H'],
  ])('reports what is wrong with %j', async (args, text) => {
    const { code, out, err } = await runCommand(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(text);
    expect(err).toContain('See sse-duplex --help.');
  });
});

describe('A command that talks to a server', () => {
  it('sends lines as JSON or text, prints what arrives as JSON, and closes at the end of its input', async () => {
    const { url, received, connections } = await open();
    const command = startCommand([url]);
    await command.says('connected (stream)\n');
    connections[0]!.send('text');
    connections[0]!.send({ a: 1 });
    connections[0]!.send(Buffer.from([1, 2, 3]));
    await command.prints('AQID');
    command.stdin.end('{"b":2}\nplain text\n"quoted"\n');
    expect(await command.exitCode).toBe(0);
    expect(received).toEqual([{ b: 2 }, 'plain text', 'quoted']);
    expect(command.out).toBe('"text"\n{"a":1}\n{"base64":"AQID"}\n');
    expect(command.err).toBe('connected (stream)\nclosed: 1000\n');
  });

  it('prints strings as they are on a terminal, and sends JSON as text with --text', async () => {
    const { url, received, connections } = await open();
    const command = startCommand([url, '--text'], { isTerminal: true });
    await command.says('connected');
    connections[0]!.send('text');
    connections[0]!.send(['list']);
    connections[0]!.send(Buffer.from([1, 2, 3]));
    await command.prints('<3 bytes>');
    command.stdin.end('{"b":2}\n');
    expect(await command.exitCode).toBe(0);
    expect(received).toEqual(['{"b":2}']);
    expect(command.out).toBe('text\n["list"]\n<3 bytes>\n');
  });

  it('sends the messages of -x with the headers of -H and the transport of --transport, and closes', async () => {
    const { url, received, connections } = await open();
    const args = ['-x', '1', '-x', 'two', '-H', 'X-Test: a: b', '--transport', 'poll', url];
    expect(await runCommand(...args)).toEqual({
      code: 0,
      out: '',
      err: 'connected (poll)\nclosed: 1000\n',
    });
    expect(received).toEqual([1, 'two']);
    expect(connections[0]!.request.headers['x-test']).toBe('a: b');
  });

  it('stays connected after -x with -w, and with -1 until it is interrupted', async () => {
    const { url, connections } = await open();
    const command = startCommand([url, '-x', '1', '--wait=-1']);
    await command.says('connected');
    connections[0]!.send('later');
    await command.prints('"later"');
    command.interrupt();
    expect(await command.exitCode).toBe(0);
    const start = performance.now();
    expect(await runCommand(url, '-x', '1', '-w', '0.05')).toMatchObject({ code: 0 });
    expect(performance.now() - start).toBeGreaterThanOrEqual(50);
  });

  it('reports that it was disconnected and has reconnected', async () => {
    const { url, server, connections } = await open();
    const command = startCommand([url]);
    await command.says('connected');
    server.closeAllConnections();
    await command.says('reconnected');
    expect(command.err).toContain('disconnected: ');
    connections[0]!.close(4001, 'the end');
    expect(await command.exitCode).toBe(0);
    expect(command.err).toContain('closed: 4001 the end\n');
  });

  it('exits with 1 if the session is lost', async () => {
    const { url, server } = await open({ reconnectTimeout: 0 });
    const command = startCommand([url]);
    await command.says('connected');
    server.closeAllConnections();
    expect(await command.exitCode).toBe(1);
    expect(command.err).toContain('closed: 1006 there is no such session on this server');
  });

  it('gives up after three failed attempts, and names the cause', async () => {
    const { code, err } = await runCommand(`http://127.0.0.1:${await findPort()}/sse`);
    expect(code).toBe(1);
    expect(err.match(/error: .*ECONNREFUSED.*\n/g)).toHaveLength(3);
    expect(err).toContain('gave up after 3 attempts\n');
  });

  it('exits with 1 if it is interrupted before it is connected', async () => {
    const { url } = await open();
    const command = startCommand([url]);
    command.interrupt();
    expect(await command.exitCode).toBe(1);
  });

  it('connects, closes and exits with 0 if its input is empty', async () => {
    const { url, connections } = await open();
    const command = startCommand([url]);
    command.stdin.end();
    expect(await command.exitCode).toBe(0);
    expect(command.err).toBe('connected (stream)\nclosed: 1000\n');
    expect(connections).toHaveLength(1);
  });

  it('reads its input only as fast as the server accepts it', async () => {
    const { url, received, connections } = await open();
    const line = 'x'.repeat(50_000);
    const command = startCommand([url]);
    await command.says('connected');
    connections[0]!.pause();
    // 20 MB, in chunks as a pipe has them; the client keeps at most 16 MiB.
    for (let i = 0; i < 400; i++) command.stdin.write(`${line}\n`);
    command.stdin.end();
    await waitFor(() => command.stdin.readableLength > 0);
    connections[0]!.resume();
    expect(await command.exitCode).toBe(0);
    expect(command.err).not.toContain('not sent');
    expect(received).toEqual(Array(400).fill(line));
  }, 20_000);

  it('closes the session when its output is closed', async () => {
    const { url } = await open();
    const command = startCommand([url]);
    await command.says('connected');
    command.stdout.destroy(new Error('write EPIPE'));
    expect(await command.exitCode).toBe(0);
    expect(command.err).toContain('closed: 1000\n');
  });

  it('reports which line was not sent', async () => {
    const { url, connections } = await open();
    const command = startCommand([url]);
    await command.says('connected');
    command.stdin.write(`${'x'.repeat(300_000)}\n`);
    await command.says("not sent: cannot send: 300002 bytes exceed the server's maxPayload");
    connections[0]!.close();
    expect(await command.exitCode).toBe(1);
  });
});

describe('A command that listens', () => {
  /** Starts it on a free port. */
  async function listen(isTerminal: boolean) {
    const command = startCommand(['--listen', '0', '--path', '/channel'], { isTerminal });
    await command.says('/channel\n');
    const [url] = /http:\S+/.exec(command.err)!;
    return { command, url };
  }

  it('prints the messages of its clients, and sends its lines to all of them', async () => {
    const { command, url } = await listen(false);
    const clients = [startCommand([url]), startCommand([url])];
    for (const client of clients) await client.says('connected');
    clients[0]!.stdin.write('{"a":1}\n');
    await command.prints('"message":{"a":1}}\n');
    command.stdin.write('to all\n');
    for (const client of clients) await client.prints('"to all"\n');
    command.interrupt();
    expect(await command.exitCode).toBe(0);
    for (const client of clients) expect(await client.exitCode).toBe(0);
    expect(clients[0]!.err).toContain('closed: 1001 the server was interrupted');
    expect(JSON.parse(command.out)).toEqual({
      id: expect.stringMatching(/^sse-/) as unknown,
      message: { a: 1 },
    });
  });

  it('prints on a terminal which client has sent what, and reports rejected requests and closed sessions', async () => {
    const { command, url } = await listen(true);
    const client = startCommand([url]);
    client.stdin.end('hello\n');
    await client.exitCode;
    await command.says('closed: 1000\n');
    expect(command.out).toMatch(/^sse-[\d-]+: hello\n$/);
    expect((await fetch(url, { method: 'PUT' })).status).toBe(405);
    await command.says('rejected: method-not-allowed: ');
    expect((await fetch(url.replace('/channel', '/'))).status).toBe(404);
  });

  it('exits with 0 when its output is closed', async () => {
    const { command } = await listen(false);
    command.stdout.destroy(new Error('write EPIPE'));
    expect(await command.exitCode).toBe(0);
  });

  it('reports which client is disconnected', async () => {
    const { command, url } = await listen(false);
    const address = `${url}?sseClientId=by-hand`;
    const stream = new AbortController();
    await fetch(address, { signal: stream.signal });
    stream.abort();
    await command.says('by-hand: disconnected\n');
  });

  it('exits with 0 if it is interrupted before it listens', async () => {
    const command = startCommand(['--listen', '0']);
    command.interrupt();
    expect(await command.exitCode).toBe(0);
  });

  it('reports a port that is in use', async () => {
    const { url } = await listen(false);
    const { code, err } = await runCommand('--listen', new URL(url).port);
    expect(code).toBe(1);
    expect(err).toContain('EADDRINUSE');
  });
});
